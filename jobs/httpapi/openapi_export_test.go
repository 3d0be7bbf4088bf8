package httpapi

import (
	"maps"
	"slices"
)

// Patterns are those of the server's routes.
func Patterns(s *Server) []string { return slices.Sorted(maps.Keys(s.routes)) }
