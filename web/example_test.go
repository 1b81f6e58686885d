package web_test

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/store/memory"
	"github.com/punctual-go/punctual/web"
)

// A dashboard under a prefix, for whoever has a password; only ada may change something.
func Example() {
	ctx := context.Background()
	s, err := punctual.New(memory.New(), punctual.ExecutorFunc(func(context.Context, punctual.Run) (punctual.Result, error) {
		return punctual.Result{Output: "42 articles"}, nil
	}))
	if err != nil {
		log.Fatal(err)
	}
	if err := s.Ensure(ctx, punctual.Task{ID: "feed", Schedule: punctual.Daily("09:30", time.UTC)}); err != nil {
		log.Fatal(err)
	}

	passwords := map[string]string{"ada": "correct horse", "bob": "battery staple"}
	authorize := func(r *http.Request, access web.Access) (string, error) {
		name, password, _ := r.BasicAuth()
		want, known := passwords[name]
		if !known || subtle.ConstantTimeCompare([]byte(password), []byte(want)) == 0 {
			return "", web.ErrUnauthenticated
		}
		if access.Action != web.ActionView && name != "ada" {
			return name, errors.New("only ada may change something")
		}
		return name, nil
	}
	dashboard := web.Handler(s, web.WithAuthorizer(authorize), web.WithChallenge(`Basic realm="tasks"`),
		web.WithAudit(func(_ context.Context, e web.AuditEvent) { fmt.Println(e.Actor, e.Action, e.TaskID, e.Err) }))
	mux := http.NewServeMux()
	mux.Handle("/punctual/", http.StripPrefix("/punctual", dashboard))
	server := httptest.NewServer(mux)
	defer server.Close()

	pause := func(name string) {
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, server.URL+"/punctual/api/task/pause?id=feed", nil)
		if err != nil {
			log.Fatal(err)
		}
		r.SetBasicAuth(name, passwords[name])
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			log.Fatal(err)
		}
		answer.Body.Close()
		fmt.Println(answer.Status)
	}
	pause("eve")
	pause("bob")
	pause("ada")
	http.DefaultClient.CloseIdleConnections()
	// Output:
	//  pause feed web: not authenticated
	// 401 Unauthorized
	// bob pause feed only ada may change something
	// 403 Forbidden
	// ada pause feed <nil>
	// 200 OK
}

// A page for a screen on the wall: nobody can change anything, and payloads show no addresses.
func ExampleWithReadOnly() {
	ctx := context.Background()
	s, err := punctual.New(memory.New(), punctual.ExecutorFunc(func(context.Context, punctual.Run) (punctual.Result, error) {
		return punctual.Result{}, nil
	}))
	if err != nil {
		log.Fatal(err)
	}
	err = s.Ensure(ctx, punctual.Task{ID: "mail", Kind: "mail", Schedule: punctual.Daily("09:30", time.UTC), Payload: []byte(`{"to":"ada@example.com"}`)})
	if err != nil {
		log.Fatal(err)
	}
	wall := web.Handler(s,
		web.WithTitle("Nightly jobs"),
		web.WithOpenAccess(), // the network in front of it decides who sees it
		web.WithReadOnly(),
		web.WithRedaction(func(kind string, _ json.RawMessage) json.RawMessage { return nil }),
		web.WithViewers(10),
		web.WithLogger(slog.New(slog.DiscardHandler)))
	ask := func(method, path string) *httptest.ResponseRecorder {
		answer := httptest.NewRecorder()
		wall.ServeHTTP(answer, httptest.NewRequestWithContext(ctx, method, path, nil))
		return answer
	}
	page := ask(http.MethodGet, "/task?id=mail")
	fmt.Println(page.Code, strings.Contains(page.Body.String(), "Nightly jobs"), strings.Contains(page.Body.String(), "ada@example.com"))
	fmt.Println(ask(http.MethodPost, "/api/task/pause?id=mail").Code)
	// Output:
	// 200 true false
	// 403
}

// Browsers that nobody is logged in with go to the login page of the host.
func ExampleWithLogin() {
	s, err := punctual.New(memory.New(), punctual.ExecutorFunc(func(context.Context, punctual.Run) (punctual.Result, error) {
		return punctual.Result{}, nil
	}))
	if err != nil {
		log.Fatal(err)
	}
	dashboard := web.Handler(s, web.WithLogin("/login"), web.WithAuthorizer(func(*http.Request, web.Access) (string, error) {
		return "", web.ErrUnauthenticated // no session of this program in the cookie
	}))
	r := httptest.NewRequestWithContext(context.Background(), http.MethodGet, "/", nil)
	r.Header.Set("Accept", "text/html")
	answer := httptest.NewRecorder()
	dashboard.ServeHTTP(answer, r)
	fmt.Println(answer.Code, answer.Header().Get("Location"))
	// Output:
	// 303 /login
}
