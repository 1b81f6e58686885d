//go:build !race

package punctual_test

const raceEnabled = false
