module github.com/punctual-go/punctual/internal/model

go 1.25.0

require (
	github.com/punctual-go/punctual v0.0.0
	pgregory.net/rapid v1.2.0
)

require github.com/benbjohnson/clock v1.3.5 // indirect

replace github.com/punctual-go/punctual => ../..
