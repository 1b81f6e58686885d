package web

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"html/template"
	"io/fs"
	"net"
	"net/http"
	"path"
	"strings"
	"sync/atomic"
	"time"

	"github.com/punctual-go/punctual"
)

//go:embed assets/* templates/*.html openapi.json
var files embed.FS

// Bounds of the handler.
const (
	DefaultViewers = 256     // pages that follow what happens at a time
	MaxSurvey      = 100_000 // tasks that are read to sort, to filter by state and to count

	maxBody     = 64 << 10         // bytes of a form or of a request to the API
	bodyTimeout = 10 * time.Second // for all of a body
	shownOutput = 64 << 10         // bytes of an output on a page; the rest is a download
)

type dashboard struct {
	config
	s       *punctual.Scheduler
	pages   map[string]*template.Template
	version string // of the assets
	watched atomic.Int64

	surveys   *memo[survey]
	histories *memo[history]
	calendars *memo[calendar]
	pulses    *memo[string]
}

// Handler returns the dashboard of a Scheduler: pages, live stream and API. It expects paths that begin where it is mounted, as
// http.StripPrefix leaves them. It works before Start and after Shutdown, and needs no end of its own: streams end with their requests, so shut the
// server down with a context that ends, or call RegisterOnShutdown of the server to cancel its base context.
func Handler(s *punctual.Scheduler, opts ...Option) http.Handler {
	c := defaultConfig()
	for _, opt := range opts {
		if opt != nil {
			opt(&c)
		}
	}
	d := &dashboard{
		config: c, s: s, version: assetVersion(),
		surveys: newMemo[survey](c.clock, 2*time.Second), histories: newMemo[history](c.clock, time.Second),
		calendars: newMemo[calendar](c.clock, time.Second), pulses: newMemo[string](c.clock, time.Second),
	}
	d.pages = loadPages(d)
	cross := http.NewCrossOriginProtection()
	cross.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		d.fail(w, r, problem{http.StatusForbidden, "Requests from other sites may not change anything here."})
	}))
	return d.headers(d.guard(cross.Handler(d.routes())))
}

// addresses are those of the pages and of what they load, but for the assets.
func (d *dashboard) addresses() map[string]http.HandlerFunc {
	return map[string]http.HandlerFunc{
		"GET /{$}": d.overviewPage, "GET /tasks": d.tasksPage, "GET /task": d.taskPage, "GET /run": d.runPage, "GET /output": d.output,
		"GET /timeline": d.timelinePage, "GET /instances": d.instancesPage, "GET /live": d.live,
		"POST /task": d.taskForm, "POST /run": d.runForm,
	}
}

func (d *dashboard) routes() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /assets/{name}", d.assets())
	for _, e := range d.endpoints() {
		mux.HandleFunc(e.method+" /"+e.path, e.serve)
	}
	for pattern, serve := range d.addresses() {
		mux.HandleFunc(pattern, serve)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "" { // mounted without a slash at the end: relative links would lead beside the handler
			whole, _, _ := strings.Cut(r.RequestURI, "?")
			seeOther(w, path.Base(whole)+"/")
			return
		}
		// The mux would redirect a path that is not clean to a place at the root of the server.
		clean := r.URL.Path == path.Clean(r.URL.Path)
		if _, pattern := mux.Handler(r); clean && pattern != "" {
			mux.ServeHTTP(w, r)
			return
		}
		if _, ok := d.may(w, r, Access{Action: ActionView}); !ok {
			return
		}
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			other := r.Clone(r.Context())
			other.Method = method
			if _, pattern := mux.Handler(other); clean && pattern != "" {
				w.Header().Add("Allow", method)
			}
		}
		if w.Header().Get("Allow") != "" {
			d.fail(w, r, problem{http.StatusMethodNotAllowed, "This address does not take requests of this kind."})
			return
		}
		d.fail(w, r, problem{http.StatusNotFound, "There is nothing at this address."})
	})
}

// headers sets what each answer carries.
func (d *dashboard) headers(next http.Handler) http.Handler {
	const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; " +
		"base-uri 'none'; frame-ancestors 'none'"
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}

// guard refuses what is not from and for this machine, unless somebody else decides who may ask.
func (d *dashboard) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if d.authorize == nil && !d.open && !local(r) {
			d.refuse(w, r)
			return
		}
		if r.Body != nil && r.Body != http.NoBody {
			r.Body = http.MaxBytesReader(w, r.Body, maxBody)
			// A server or a recorder that knows no deadlines has its own ways.
			_ = http.NewResponseController(w).SetReadDeadline(d.clock.Now().Add(bodyTimeout))
		}
		next.ServeHTTP(w, r)
	})
}

// local reports whether the request comes from this machine and is meant for it. A peer on this machine may be a proxy that serves the world, and a
// name other than a loopback one in the Host header is a page of another site that resolves to here.
func local(r *http.Request) bool {
	for _, forwarded := range []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-Ip"} {
		if r.Header.Get(forwarded) != "" {
			return false
		}
	}
	return loopback(r.RemoteAddr) && loopback(r.Host)
}

func loopback(address string) bool {
	host := address
	if h, _, err := net.SplitHostPort(address); err == nil {
		host = h
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}

// assets serves what is embedded. It is the same for everybody and tells nothing, so nobody is asked.
func (d *dashboard) assets() http.Handler {
	static, err := fs.Sub(files, "assets")
	if err != nil {
		panic(err) // the folder is embedded
	}
	server := http.FileServerFS(static)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("v") == d.version {
			w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
		}
		r2 := r.Clone(r.Context())
		r2.URL.Path = "/" + r.PathValue("name")
		server.ServeHTTP(w, r2)
	})
}

func assetVersion() string {
	h := sha256.New()
	entries, err := files.ReadDir("assets")
	if err != nil {
		panic(err) // the folder is embedded
	}
	for _, e := range entries {
		b, err := files.ReadFile("assets/" + e.Name())
		if err != nil {
			panic(err)
		}
		h.Write(b)
	}
	return hex.EncodeToString(h.Sum(nil))[:12]
}
