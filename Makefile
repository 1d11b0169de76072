# The developer's habits. Each is one command, for those who have no make.
.PHONY: check test servers stop bench docs fuzz record

check: ## formatting, lints and the tests that need no server
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	cargo test --workspace --locked

test: ## everything, with real servers
	./test

servers: ## PostgreSQL, Kafka and the JVM peer for tests by hand; prints their addresses
	tests/harness/start

stop: ## ends them
	tests/harness/stop

bench: ## Riverrun beside Debezium on the JVM, on the same data in the same run
	tests/harness/bench/run

docs: ## writes the tables of the connectors' READMEs anew from their ConfigDefs, and the pages of the API
	REWRITE=1 cargo test -p riverrun-source-postgres --test readme
	REWRITE=1 cargo test -p riverrun-source-mysql --test readme
	cargo doc --workspace --no-deps

fuzz: ## every fuzz target for a minute each (needs cargo-fuzz and a nightly toolchain)
	tests/harness/fuzz

record: ## golden files anew from the JVM peer (needs `make servers`)
	tests/harness/record
