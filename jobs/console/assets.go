package console

import (
	"embed"
	"html/template"
	"io"
	"net/http"
	"strings"
	"sync"
)

//go:embed assets
var assets embed.FS

//go:embed templates
var templates embed.FS

// Assets serves style, script and icon below /assets/; they hold nothing worth a
// login.
func Assets() http.Handler {
	files := http.FileServerFS(assets)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/assets" || strings.HasSuffix(r.URL.Path, "/") {
			http.NotFound(w, r) // no listings
			return
		}
		w.Header().Set("Cache-Control", "public, max-age=300")
		files.ServeHTTP(w, r)
	})
}

// parsePages reads the templates, once.
var parsePages = sync.OnceValues(func() (*template.Template, error) {
	return template.New("").Funcs(template.FuncMap{
		"thousands": thousands, "clock": clock, "stamp": stamp, "when": when,
	}).ParseFS(templates, "templates/*.html")
})

// Login is what the login page shows.
type Login struct {
	Next    string // where to go afterwards
	Message string // why the last try failed
}

// WriteLogin draws the login page.
func WriteLogin(w io.Writer, p Login) error { return write(w, "login", p) }

// WriteForward draws a page that goes on to target by itself.
func WriteForward(w io.Writer, target string) error { return write(w, "forward", target) }

func write(w io.Writer, name string, data any) error {
	pages, err := parsePages()
	if err != nil {
		return err
	}
	return pages.ExecuteTemplate(w, name, data)
}
