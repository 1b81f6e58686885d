module github.com/punctual-go/punctual/schedule/rrule

go 1.25.0

require (
	github.com/punctual-go/punctual v0.0.0
	github.com/stretchr/testify v1.12.1
	github.com/teambition/rrule-go v1.8.2
)

require (
	github.com/benbjohnson/clock v1.3.5 // indirect
	go.yaml.in/yaml/v3 v3.0.5 // indirect
)

replace github.com/punctual-go/punctual => ../..
