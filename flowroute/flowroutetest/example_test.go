package flowroutetest_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/flowroute-worker/flowroute-worker/flowroute/flowroutetest"
)

// The answer is lost, but the truth knows that the message was accepted.
func Example() {
	api := flowroutetest.New(flowroutetest.Options{
		Faults: flowroutetest.Faults{"accepted-then-500": {Count: 1}},
	})
	defer api.Close()

	w := httptest.NewRecorder()
	r := httptest.NewRequest("POST", "/v2.1/messages", strings.NewReader(
		`{"from":"12065550100","to":"12065550199","body":"Your table is ready"}`))
	r.SetBasicAuth(flowroutetest.DefaultAccessKey, flowroutetest.DefaultSecretKey)
	api.ServeHTTP(w, r)

	fmt.Println(w.Code, http.StatusText(w.Code))
	for _, m := range api.Truth().Messages {
		fmt.Println(m.To, m.Body, m.Fault)
	}
	// Output:
	// 500 Internal Server Error
	// 12065550199 Your table is ready accepted-then-500
}
