# Everyday verbs; CI runs the same. Each installs what it needs on a fresh
# Debian machine, or says which packages to ask for when it is not run by root.

# What measuring needs: a database server. What tests need besides: real peers,
# a C compiler for the race detector, systemd-analyze for the units.
RUN_PACKAGES  = postgresql
TEST_PACKAGES = $(RUN_PACKAGES) nftables iproute2 fping iputils-ping traceroute scamper tshark iperf3 smstools chromium libfaketime systemd gcc libc6-dev

# What benchmarks measure beside us and no test needs.
BENCH_PACKAGES = $(TEST_PACKAGES) rrdtool rrdcached

# A release is a tag v1.2.3; without one the program keeps the version in its source.
VERSION := $(patsubst v%,%,$(shell git describe --tags --abbrev=0 --match 'v[0-9]*' 2>/dev/null))
LDFLAGS  = -s -w $(if $(VERSION),-X main.version=$(VERSION))

STATICCHECK = go tool -modfile=$(CURDIR)/tools/go.mod staticcheck

# Debian keeps nft, ip and smsd where only root looks.
export PATH := $(PATH):/usr/sbin:/sbin

.PHONY: help up build test lint bench cross need-run need-test need-bench

help:
	@echo 'make up      build, and run everything on this host in the foreground (ARGS="--data DIR --listen ADDR")'
	@echo 'make build   build bin/sonde'
	@echo 'make test    format, vet, lint, race tests, cross-compilation'
	@echo 'make lint    format, vet and lint alone'
	@echo 'make bench   the ratios of docs/benchmarks.md, on an otherwise idle machine'

up: need-run build
	exec bin/sonde up $(ARGS)

build:
	CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)' -o bin/sonde ./cmd/sonde

# Two packages at a time: many start a database server or a network of their own.
test: need-test lint build cross
	go test -race -p 2 -timeout 20m ./... </dev/null
	cd bench && go test -p 2 -timeout 20m ./... </dev/null

lint:
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')) || exit 1; \
		if [ -n "$$unformatted" ]; then echo "gofmt -w these files:"; echo "$$unformatted"; exit 1; fi
	go vet ./...
	cd bench && go vet ./...
	$(STATICCHECK) ./...
	cd bench && $(STATICCHECK) ./...

# The program runs on a Raspberry Pi 1 as well as on a server, without cgo.
cross:
	CGO_ENABLED=0 GOOS=linux GOARCH=arm GOARM=6 go build -o /dev/null ./cmd/sonde
	CGO_ENABLED=0 GOOS=linux GOARCH=arm64 go build -o /dev/null ./cmd/sonde
	CGO_ENABLED=0 GOOS=linux GOARCH=amd64 go build -o /dev/null ./cmd/sonde

# Root, for hosts in network namespaces and raw sockets.
bench: need-bench
	cd bench && go test -run '^$$' -bench . -benchtime 1x -timeout 60m ./... </dev/null

# Somebody who names a database of their own, or has server programs that
# Debian's packages know nothing of, needs no package.
need-run:
	@if [ -z "$$SONDE_DATABASE" ] && ! command -v postgres >/dev/null && ! [ -x "$$(pg_config --bindir 2>/dev/null)/postgres" ] && \
		! ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1; then tools/need $(RUN_PACKAGES); fi

need-test:
	@tools/need $(TEST_PACKAGES)

need-bench:
	@tools/need $(BENCH_PACKAGES)
