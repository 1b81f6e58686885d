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
}

type server struct {
	service *service.Service
	options Options
	pages   map[string]*template.Template
}

// Handler serves everything.
func Handler(s *service.Service, o Options) http.Handler {
	srv := &server{service: s, options: o, pages: loadPages()}
	static, err := fs.Sub(files, "static")
	if err != nil {
		panic(err) // the folder is embedded
	}
	mux := http.NewServeMux()
	mux.Handle("GET /static/", http.StripPrefix("/static/", http.FileServerFS(static)))
	mux.HandleFunc("GET /healthz", srv.health)
	mux.HandleFunc("GET /login", srv.loginForm)
	mux.HandleFunc("POST /login", srv.login)
	srv.api(mux)
	srv.forms(mux)
	var handler http.Handler = mux
	handler = srv.authorize(handler)
	cross := http.NewCrossOriginProtection()
	cross.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		srv.fail(w, r, http.StatusForbidden, "posts from other sites are refused")
	}))
	return headers(cross.Handler(handler))
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
		open := r.URL.Path == "/healthz" || r.URL.Path == "/login" || strings.HasPrefix(r.URL.Path, "/static/")
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
	return strings.HasPrefix(r.URL.Path, "/api/") || r.URL.Path == "/metrics" || r.URL.Path == "/healthz"
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
		Name: sessionCookie, Value: s.session(), Path: "/", HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: r.TLS != nil,
		MaxAge: int((30 * 24 * time.Hour).Seconds()),
	})
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

// fail answers with an error in the form that the client reads.
func (s *server) fail(w http.ResponseWriter, r *http.Request, code int, message string) {
	if isAPI(r) {
		writeJSON(w, code, map[string]any{"error": message})
		return
	}
	s.page(w, r, code, "error", map[string]any{"Title": http.StatusText(code), "Error": message})
}
