// Package web serves llmcron's JSON API and pages.
package web

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"embed"
	"encoding/base64"
	"html/template"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/punctual-go/punctual/examples/llmcron/internal/service"
)

//go:embed templates/*.html static/*
var files embed.FS

// Options configure the handler.
type Options struct {
	Token   string       // bearer token of the API and password of the pages; empty for none
	Demo    string       // URL of the demo endpoint, shown on each page; empty outside the demo
	Metrics http.Handler // serves /metrics
	Logger  *slog.Logger
	// Dashboard serves /punctual/; nil for nothing there.
	Dashboard http.Handler
}

type server struct {
	service *service.Service
	options Options
	pages   map[string]map[string]*template.Template // by language and name
}

// Handler serves everything.
func Handler(s *service.Service, o Options) http.Handler {
	srv := &server{service: s, options: o, pages: map[string]map[string]*template.Template{english: loadPages(english), chinese: loadPages(chinese)}}
	static, err := fs.Sub(files, "static")
	if err != nil {
		panic(err) // the folder is embedded
	}
	mux := http.NewServeMux()
	mux.Handle("GET /static/", http.StripPrefix("/static/", http.FileServerFS(static)))
	for _, r := range srv.routes() {
		mux.HandleFunc(r.pattern, r.serve)
	}
	var handler http.Handler = mux
	handler = srv.authorize(handler)
	cross := http.NewCrossOriginProtection()
	cross.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		srv.fail(w, r, http.StatusForbidden, "posts from other sites are refused")
	}))
	return headers(cross.Handler(handler))
}

// route is an address of the server and who answers there.
type route struct {
	pattern string
	serve   http.HandlerFunc
}

func (s *server) routes() []route {
	all := []route{
		{"GET /healthz", s.health},
		{"GET /language", s.chooseLanguage},
		{"GET /login", s.loginForm},
		{"POST /login", s.login},
	}
	if s.options.Dashboard != nil {
		all = append(all, route{dashboardPrefix + "/", http.StripPrefix(dashboardPrefix, s.options.Dashboard).ServeHTTP})
	}
	return append(append(all, s.api()...), s.forms()...)
}

// Patterns lists the routes of a handler with these options as http.ServeMux writes them, but for the files of the pages.
func Patterns(o Options) []string {
	var all []string
	for _, r := range (&server{options: o}).routes() {
		all = append(all, r.pattern)
	}
	return all
}

// headers sets what each answer carries.
func headers(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}

const sessionCookie = "llmcron_session"

// session is what the cookie of a logged-in browser holds: derived from the token, so that a new token ends all sessions, and not the
// token itself.
func (s *server) session() string {
	mac := hmac.New(sha256.New, []byte(s.options.Token))
	mac.Write([]byte("llmcron session v1"))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

func same(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}

// authorize lets through who has the token. Without a token the server listens on loopback only, and a name other than a loopback one
// in the Host header is a page of another site that resolves to here.
func (s *server) authorize(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		open := r.URL.Path == "/healthz" || r.URL.Path == "/login" || r.URL.Path == "/language" || strings.HasPrefix(r.URL.Path, "/static/")
		switch {
		case s.options.Token == "":
			if !loopbackHost(r.Host) {
				s.fail(w, r, http.StatusForbidden, "this server answers on loopback addresses only")
				return
			}
		case open || s.loggedIn(r):
		case isAPI(r):
			w.Header().Set("WWW-Authenticate", `Bearer realm="llmcron"`)
			s.fail(w, r, http.StatusUnauthorized, "a bearer token is needed")
			return
		default:
			http.Redirect(w, r, "/login", http.StatusSeeOther)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (s *server) loggedIn(r *http.Request) bool {
	if token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
		return same(token, s.options.Token)
	}
	cookie, err := r.Cookie(sessionCookie)
	return err == nil && same(cookie.Value, s.session())
}

func isAPI(r *http.Request) bool {
	return strings.HasPrefix(r.URL.Path, "/api/") || strings.HasPrefix(r.URL.Path, dashboardPrefix+"/api/") || r.URL.Path == "/metrics" || r.URL.Path == "/healthz"
}

func loopbackHost(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.Trim(host, "[]")
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}

func (s *server) loginForm(w http.ResponseWriter, r *http.Request) {
	s.page(w, r, http.StatusOK, "login", map[string]any{"Title": "Log in"})
}

func (s *server) login(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	if s.options.Token == "" || !same(r.PostFormValue("token"), s.options.Token) {
		s.page(w, r, http.StatusUnauthorized, "login", map[string]any{"Title": "Log in", "Error": "That is not the token."})
		return
	}
	http.SetCookie(w, &http.Cookie{
		Name: sessionCookie, Value: s.session(), Path: "/", HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: secure(r),
		MaxAge: int((30 * 24 * time.Hour).Seconds()),
	})
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

// secure reports whether the browser came over TLS, to here or to a proxy in front. Who claims so wrongly gets a cookie that his browser
// keeps to itself.
func secure(r *http.Request) bool {
	return r.TLS != nil || strings.EqualFold(r.Header.Get("X-Forwarded-Proto"), "https")
}

// fail answers with an error in the form that the client reads.
func (s *server) fail(w http.ResponseWriter, r *http.Request, code int, message string) {
	if isAPI(r) {
		writeJSON(w, code, map[string]any{"error": message})
		return
	}
	s.page(w, r, code, "error", map[string]any{"Title": http.StatusText(code), "Error": message})
}
