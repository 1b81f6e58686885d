package web

import "strings"

// Operations are the operations of the API that have a handler, such as "GET /api/tasks".
func Operations() []string {
	var all []string
	for _, e := range (&dashboard{}).endpoints() {
		all = append(all, e.method+" /"+e.path)
	}
	return all
}

// Addresses are those of pages and forms, such as "GET /tasks".
func Addresses() []string {
	var all []string
	for pattern := range (&dashboard{}).addresses() {
		all = append(all, strings.TrimSuffix(pattern, "{$}"))
	}
	return all
}
