module github.com/punctual-go/punctual/store/mysql

go 1.25.0

require (
	github.com/benbjohnson/clock v1.3.5
	github.com/go-sql-driver/mysql v1.10.1
	github.com/punctual-go/punctual v0.0.0
)

require filippo.io/edwards25519 v1.2.0 // indirect

replace github.com/punctual-go/punctual => ../..
