package mysql

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	mysql "github.com/go-sql-driver/mysql"

	"github.com/punctual-go/punctual"
)

// idleTime is how long a pooled connection may be idle. It is less than the wait_timeout below, so that the pool gives a connection up
// before the server does.
const idleTime = 15 * time.Second

// setSession makes a session behave in one way, whatever the server's configuration says:
//
//   - READ COMMITTED: each statement sees what was committed before it, and no gap between rows is locked. What a decision reads after its
//     lock is therefore current.
//   - sql_mode: what does not fit is an error and never cut.
//   - time_zone: nothing here depends on it, and so nothing ever will.
//   - innodb_lock_wait_timeout: a lock that is held for longer is reported, and the call says that the store is unavailable.
//   - wait_timeout: when this process vanishes, the server frees what its open transactions have locked after so long. MariaDB can tell
//     an idle transaction from an idle session and is quicker.
const setSession = `SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION,ERROR_FOR_DIVISION_BY_ZERO', time_zone = '+00:00',
	innodb_lock_wait_timeout = 5, wait_timeout = 30 /*M!100300 , idle_transaction_timeout = 5 */`

const setIsolation = `SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED`

// connector opens connections whose sessions are set up.
type connector struct{ driver.Connector }

// connect reads a data source name and makes the connector for it.
func connect(dsn string) (driver.Connector, error) {
	cfg, err := mysql.ParseDSN(dsn)
	if err != nil {
		return nil, fmt.Errorf("mysql: %w", err)
	}
	if cfg.DBName == "" {
		return nil, errors.New("mysql: the data source name has no database: it ends with a slash and the database's name")
	}
	cfg.ClientFoundRows = false // an affected row is one that was changed
	cfg.InterpolateParams = true
	cfg.MultiStatements = false
	cfg.ParseTime = false
	cfg.Collation = "" // interpolation is safe with utf8mb4 only
	cfg.MaxAllowedPacket = 0
	if err := cfg.Apply(mysql.Charset("utf8mb4", "")); err != nil {
		return nil, fmt.Errorf("mysql: %w", err)
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = 10 * time.Second
	}
	inner, err := mysql.NewConnector(cfg)
	if err != nil {
		return nil, fmt.Errorf("mysql: %w", err)
	}
	return connector{inner}, nil
}

// Connect implements driver.Connector.
func (c connector) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	for _, statement := range []string{setSession, setIsolation} {
		if _, err := conn.(driver.ExecerContext).ExecContext(ctx, statement, nil); err != nil {
			return nil, errors.Join(err, conn.Close())
		}
	}
	return conn, nil
}

const selectServer = `SELECT VERSION(), @@SESSION.sql_mode`

// checkServer refuses a server that lacks what the store needs: SELECT ... FOR UPDATE SKIP LOCKED came with MySQL 8.0.1 and MariaDB 10.6.
func (s *Store) checkServer(ctx context.Context) error {
	var version, mode string
	if err := s.db.QueryRowContext(ctx, selectServer).Scan(&version, &mode); err != nil {
		return fault(ctx, err)
	}
	if err := checkVersion(version); err != nil {
		return err
	}
	if !strings.Contains(mode, "STRICT_TRANS_TABLES") && !strings.Contains(mode, "STRICT_ALL_TABLES") {
		return fmt.Errorf("mysql: %w: the sessions of the pool cut values that are too long instead of refusing them; set sql_mode to "+
			"STRICT_TRANS_TABLES in its data source name", punctual.ErrStoreSchema)
	}
	return nil
}

func checkVersion(version string) error {
	maria := strings.Contains(version, "MariaDB")
	name, needed, least := "MySQL", [3]int{8, 0, 1}, "8.0.1"
	if maria {
		name, needed, least = "MariaDB", [3]int{10, 6, 0}, "10.6"
		version = strings.TrimPrefix(version, "5.5.5-") // some versions put this before theirs, for old replicas
	}
	number, _, _ := strings.Cut(version, "-")
	var have [3]int
	for i, part := range strings.SplitN(number, ".", 3) {
		n, err := strconv.Atoi(part)
		if err != nil {
			break
		}
		have[i] = n
	}
	for i := range have {
		switch {
		case have[i] > needed[i]:
			return nil
		case have[i] < needed[i]:
			return fmt.Errorf("mysql: %w: the server is %s %s, and SKIP LOCKED needs %s or later", punctual.ErrStoreSchema, name, version, least)
		}
	}
	return nil
}
