// Package web is a dashboard and JSON API for a Scheduler: one http.Handler that a host mounts under any prefix.
//
//	mux.Handle("/punctual/", http.StripPrefix("/punctual", web.Handler(scheduler, web.WithAuthorizer(login))))
//
// The pages are made on the server and read well without JavaScript; with it they follow what happens, show times in the viewer's zone
// and preview schedules while they are typed. Everything is embedded: no build step, nothing is fetched from elsewhere, and the
// Content-Security-Policy allows neither inline scripts nor inline styles. The API is described by api/openapi.json.
//
// # Who may do what
//
// Without WithAuthorizer the handler answers only requests that come from this machine and for this machine: the peer and the name in the
// Host header must be loopback and no proxy may have forwarded the request. WithOpenAccess lifts that, for hosts that guard the handler
// themselves. With an authorizer, each request asks it for one Action. Posts from other sites are refused in any case, WithReadOnly refuses
// all posts, and each attempt to change something is told to the audit.
//
// # What it costs
//
// The handler starts no goroutine. While somebody watches, each open page looks at the store once a second, and all viewers share
// what was found; without viewers there is no work. Lists come from the store page by page. What the store cannot answer, such as the order of all
// tasks by their next run, comes from a bounded read of all tasks, at most MaxSurvey, that is kept for ten times as long as it took. Pages say so when
// a bound cut something off.
//
// # Addresses
//
// Ids of tasks are free text, so they stand in the query (task?id=a%2Fb) and never in the path, where a router or a proxy in front would
// rewrite a slash or two dots. All links are relative, so that the handler need not know where it is mounted.
package web
