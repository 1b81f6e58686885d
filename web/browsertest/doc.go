// Package browsertest drives the dashboard in a headless Chromium: main paths by clicking, the live view, keys, accessibility, and the
// pictures of the documentation. It is a module of its own, so that no host gets a browser's driver with the core.
package browsertest
