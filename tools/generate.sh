#!/bin/sh
# Generates the query packages from migrations and queries (sqlc.yaml), checks the same
# files against SQLite's grammar, and records what belongs together in sqlc.sum.
#
# sqlc is $SQLC, else the one in PATH, else built from the Go module proxy.
set -eu
cd "$(dirname "$0")/.."

version=v1.31.1
if [ -z "${SQLC:-}" ]; then
	SQLC=$(command -v sqlc || true)
fi
sqlc() {
	if [ -n "$SQLC" ]; then
		"$SQLC" "$@"
	else
		go run "github.com/sqlc-dev/sqlc/cmd/sqlc@$version" "$@"
	fi
}
sum() {
	if command -v sha256sum >/dev/null; then
		sha256sum "$@"
	else
		shasum -a 256 "$@"
	fi
}

found=$(sqlc version)
if [ "$found" != "$version" ]; then
	echo "sqlc is $found, want $version" >&2
	exit 1
fi

# SQLite's grammar, on a copy where $1 is ?1: SQLite takes both, sqlc's parser of it
# only the second.
check=$(mktemp -d)
trap 'rm -rf "$check"' EXIT
cp sqlc.sqlite.yaml "$check"
for store in internal/wisdom/store internal/agents/store; do
	mkdir -p "$check/$store/queries"
	cp -R "$store/migrations" "$check/$store"
	for queries in "$store"/queries/*.sql; do
		sed 's/\$\([0-9][0-9]*\)/?\1/g' "$queries" >"$check/$store/queries/$(basename "$queries")"
	done
done
sqlc compile -f "$check/sqlc.sqlite.yaml"

sqlc generate -f sqlc.yaml
# Code of a query file that is gone must go too.
for code in internal/*/store/query/*.sql.go; do
	source=$(dirname "$code")/../queries/$(basename "$code" .go)
	[ -e "$source" ] || rm "$code"
done

# The same files as internal/arch/generated_test.go: keep the two alike.
{
	echo sqlc.yaml
	for store in internal/wisdom/store internal/agents/store; do
		find "$store/migrations" "$store/queries" -maxdepth 1 -name '*.sql'
		find "$store/query" -maxdepth 1 -name '*.go'
	done
} | LC_ALL=C sort | while read -r file; do sum "$file"; done >sqlc.sum.new
mv sqlc.sum.new sqlc.sum
