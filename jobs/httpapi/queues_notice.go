package httpapi

import (
	"bytes"
	_ "embed"
	"net/http"
	"strconv"
)

// noticeScript makes the pages show what the server says of an action: by themselves
// they drop the text of a call that failed.
//
//go:embed queues_notice.js
var noticeScript string

const noticePath = queuesRoot + "/static/notice.js"

// servePage is the page, or a file of it, with our script before its own.
func (q *queues) servePage(w http.ResponseWriter, r *http.Request) error {
	page := &answer{header: w.Header()}
	q.pages.ServeHTTP(&mended{ResponseWriter: page, path: r.URL.Path}, r)
	body := page.body.Bytes()
	if w.Header().Get("Content-Type") == "" {
		w.Header().Set("Content-Type", http.DetectContentType(body))
	}
	if before, after, found := bytes.Cut(body, []byte("<head>")); found {
		body = bytes.Join([][]byte{before, after}, []byte(`<head><script src="`+noticePath+`"></script>`))
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(max(page.status, http.StatusOK))
	_, err := w.Write(body)
	return err
}
