# make demo    a commit's whole journey on this machine, ending with a live URL
# make test    everything that passes without special hardware
# make test-optimized  the gateway's tests built with the optimizer: what a request costs
# make test-sanitized  tests of the data path, limits and load generator with the address and the thread sanitizer
# make fuzz    mutated input for the gateway's parsers, FUZZ_SECONDS for each of them
# make bench   comparisons with peers
# make format  lay the sources out

RUNTIME := containerd runc containernetworking-plugins nftables iproute2 conntrack git buildah catatonit busybox-static \
	skopeo ca-certificates tar
# kubectl from elsewhere is as good as Debian's. The tests need a newer one than Debian 12 has; they find it first on their path.
TOOLS := $(CURDIR)/.build/tools
KUBECTL := $(if $(shell command -v kubectl),,kubernetes-client)
LIBRARIES := libsqlite3-dev libssl-dev zlib1g-dev
TESTING := nginx-light haproxy apache2-bin nodejs wrk curl openssl python3 python3-pip

export SAMPAN_WARNINGS_AS_ERRORS ?= 1
export PATH := $(TOOLS)/bin:$(PATH)

.PHONY: demo test test-optimized test-sanitized lint format build packages test-packages bench fuzz

packages:
	@Scripts/install-packages $(RUNTIME) $(KUBECTL) $(LIBRARIES)

test-packages: packages
	@Scripts/install-packages $(TESTING)
	@Scripts/install-kubectl $(TOOLS)

build: packages
	swift build -c release --product sampan

demo: build
	Scripts/demo --sampan "$$(swift build -c release --show-bin-path)/sampan"

test: test-packages lint
	swift build --build-tests
	Scripts/test-rooms
	swift test --skip-build --no-parallel --filter EndToEndTests

test-optimized: test-packages
	Scripts/test-optimized Gateway

test-sanitized: test-packages
	Scripts/test-sanitized address
	Scripts/test-sanitized thread

FUZZ_SECONDS ?= 60

fuzz: packages
	Scripts/fuzz --seconds $(FUZZ_SECONDS)

lint:
	swift format lint --strict --recursive --parallel Package.swift Sources Tests

format:
	swift format --in-place --recursive --parallel Package.swift Sources Tests

BENCHMARKS := run gateway-process table-swaps surge limits load-generator data-path gateway-features attacks

bench: test-packages build
	@program="$$(swift build -c release --show-bin-path)/sampan"; status=0; \
	for each in $(BENCHMARKS); do echo "=== $$each"; "Benchmarks/$$each" "$$program" || status=1; done; exit $$status
