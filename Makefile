.PHONY: build test demo ci

build:
	CGO_ENABLED=0 go build -trimpath -o flowroute-worker ./cmd/flowroute-worker

test:
	go test ./...

demo:
	go run ./cmd/flowroute-worker demo

ci:
	.ci/run
