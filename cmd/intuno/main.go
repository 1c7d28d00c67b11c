// Command intuno is everything of Intuno in one binary: see 'intuno help'.
package main

import (
	"os"

	"github.com/IntunoAI/intuno-go/internal/cli"
)

func main() { os.Exit(cli.Main(os.Args[1:], os.Environ(), os.Stdin, os.Stdout, os.Stderr)) }
