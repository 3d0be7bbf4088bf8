// Package httpapi serves the HTTP API, the login, health, metrics and the queue
// pages.
package httpapi
