package main

import (
	"io"
	"log/slog"
)

// logger writes lines as LOG_LEVEL and LOG_FORMAT say.
func (s settings) logger(out io.Writer) *slog.Logger {
	var level slog.Level
	if err := level.UnmarshalText([]byte(s.LogLevel)); err != nil {
		level = slog.LevelInfo // the configuration was checked before
	}
	o := &slog.HandlerOptions{Level: level}
	if s.LogFormat == "json" || s.LogFormat == "" && !onTerminal(out) {
		return slog.New(slog.NewJSONHandler(out, o))
	}
	return slog.New(slog.NewTextHandler(out, o))
}
