package mysql_test

import (
	"database/sql"
	"flag"
	"testing"

	driver "github.com/go-sql-driver/mysql"
	"github.com/stretchr/testify/require"

	"github.com/punctual-go/punctual"
	"github.com/punctual-go/punctual/store/mysql"
	"github.com/punctual-go/punctual/store/storetest"
)

// raceRounds is how often each race of the suite is run: each round is some transactions of a server.
var raceRounds = flag.Int("rounds", 40, "how often each race of the suite is run")

func TestStoreContract(t *testing.T) {
	server(t)
	names := map[punctual.Store]string{}
	fresh := func(t *testing.T) punctual.Store {
		dsn := database(t)
		store := open(t, dsn)
		names[store] = dsn
		return store
	}
	again := func(t *testing.T, store punctual.Store) punctual.Store {
		other := open(t, names[store])
		names[other] = names[store]
		return other
	}
	reopen := func(t *testing.T, store punctual.Store) punctual.Store {
		require.NoError(t, store.(*mysql.Store).Close())
		return again(t, store)
	}
	storetest.Run(t, fresh, storetest.WithRounds(*raceRounds), storetest.WithReopen(reopen), storetest.WithPeer(again))
}

// The same on a pool whose sessions are set up in every respect unlike those of Open.
func TestStoreContractOnAPoolOfTheHost(t *testing.T) {
	server(t)
	names := map[punctual.Store]string{}
	onPool := func(t *testing.T, dsn string) punctual.Store {
		cfg, err := driver.ParseDSN(dsn)
		require.NoError(t, err)
		cfg.ClientFoundRows, cfg.InterpolateParams, cfg.ParseTime = true, false, true
		cfg.Params = map[string]string{"sql_mode": "'ANSI,STRICT_TRANS_TABLES,NO_BACKSLASH_ESCAPES'", "time_zone": "'-11:30'"}
		db, err := sql.Open("mysql", cfg.FormatDSN())
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, db.Close()) })
		store, err := mysql.New(t.Context(), db)
		require.NoError(t, err)
		names[store] = dsn
		return store
	}
	storetest.Run(t, func(t *testing.T) punctual.Store { return onPool(t, database(t)) }, storetest.WithRounds(5),
		storetest.WithPeer(func(t *testing.T, store punctual.Store) punctual.Store { return onPool(t, names[store]) }))
}
