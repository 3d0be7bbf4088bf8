package httpapi

import (
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"
)

// readJSON reads a body that is one JSON value, up to the bound. What is in it,
// the caller checks.
func (s *Server) readJSON(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if err := wantContentType(r, "application/json"); err != nil {
		return nil, err
	}
	if encoding := r.Header.Get("Content-Encoding"); encoding != "" && encoding != "identity" {
		return nil, newProblem(http.StatusUnsupportedMediaType, codeEncoding, "Send the body as it is, without Content-Encoding.").
			with("Accept-Encoding", "identity")
	}
	return readBody(w, r, s.o.MaxBody)
}

// wantContentType keeps out what a foreign page can send without asking first
// (forms, text/plain), and says what is wanted.
func wantContentType(r *http.Request, want string) error {
	media, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	charset := strings.ToLower(params["charset"])
	if err == nil && media == want && (charset == "" || charset == "utf-8") {
		return nil
	}
	return newProblem(http.StatusUnsupportedMediaType, codeContentType, "Send Content-Type: %s.", want).with("Accept", want)
}

func readBody(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	if r.ContentLength > limit {
		return nil, tooLargeProblem(limit) // before a byte of it is read
	}
	return readWhole(http.MaxBytesReader(w, r.Body, limit), limit)
}

// readWhole reads what fits within the limit, or says why not.
func readWhole(r io.Reader, limit int64) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(r, limit+1))
	if tooLarge, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return nil, tooLargeProblem(tooLarge.Limit)
	}
	if err != nil {
		return nil, inputProblem(err, "Nothing was taken.")
	}
	if int64(len(body)) > limit { // of gzip
		return nil, tooLargeProblem(limit)
	}
	return body, nil
}

func writeJSON(w http.ResponseWriter, status int, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n')) // the client may be gone
	return nil
}
