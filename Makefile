.PHONY: test
test:
	scripts/tools
	cargo test
