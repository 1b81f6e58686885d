package main

import (
	"context"
	"io"
	"strings"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/store/mysql"
	"github.com/punctual-go/punctual/store/postgres"
	"github.com/punctual-go/punctual/store/sqlite"
)

// store is what all stores that can be shared have.
type store interface {
	punctual.Store
	io.Closer
}

// schema keeps the tables of the example apart from other stores on the same server.
const schema = "punctual_cluster"

// open opens the store that dsn names.
func open(ctx context.Context, dsn string) (store, error) {
	switch {
	case strings.HasPrefix(dsn, "postgres://"), strings.HasPrefix(dsn, "postgresql://"):
		return postgres.Open(ctx, dsn, postgres.WithSchema(schema))
	case strings.Contains(dsn, "@tcp("), strings.Contains(dsn, "@unix("):
		return mysql.Open(ctx, dsn, mysql.WithTablePrefix(schema+"_"))
	}
	return sqlite.Open(ctx, dsn)
}
