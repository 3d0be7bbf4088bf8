package flowroute_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
)

// stand is a stand-in for the API that gives one answer.
func stand(status int, body string) *httptest.Server {
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		io.WriteString(w, body)
	}))
}

func ExampleClient_SendMessage() {
	server := stand(202, `{"data":{"id":"mdr2-39cadeace66e11e7aff806cd7f24ba2d","type":"message"}}`)
	defer server.Close()

	client, err := flowroute.New(flowroute.Options{
		BaseURL:     server.URL,
		Credentials: flowroute.Credentials{AccessKey: "29017446", SecretKey: "secret"},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()

	from, _ := flowroute.ParseE164("(206) 555-0100")
	to, _ := flowroute.ParseE164("206.555.0199")
	sent, err := client.SendMessage(context.Background(), flowroute.Message{
		From: from,
		To:   to,
		Body: "Your table is ready.",
	}, flowroute.Write{Deadline: time.Now().Add(3 * time.Second)})

	switch {
	case err == nil && sent.ID == "":
		fmt.Println("accepted, id pending")
	case err == nil:
		fmt.Println("accepted:", sent.ID)
	case errors.Is(err, flowroute.ErrNotSent):
		fmt.Println("try again")
	case errors.Is(err, flowroute.ErrRefused):
		fmt.Println("refused:", err)
	default:
		fmt.Println("look into the MDRs before sending again:", err)
	}
	// Output: accepted: mdr2-39cadeace66e11e7aff806cd7f24ba2d
}

func ExampleClient_SendMessage_refused() {
	server := stand(400, `{"errors":[{"code":1110,"title":"User Opted Out (STOP)","status":400}]}`)
	defer server.Close()
	client, _ := flowroute.New(flowroute.Options{
		BaseURL:     server.URL,
		Credentials: flowroute.Credentials{AccessKey: "29017446", SecretKey: "secret"},
	})
	from, _ := flowroute.ParseE164("(206) 555-0100")
	to, _ := flowroute.ParseE164("206.555.0199")

	_, err := client.SendMessage(context.Background(), flowroute.Message{From: from, To: to, Body: "Hi"}, flowroute.Write{})
	if e, ok := errors.AsType[*flowroute.APIError](err); ok && e.OptedOut() {
		fmt.Println("never again:", to.Masked())
	}
	fmt.Println(err)
	// Output:
	// never again: …0199
	// send message: refused: POST /v2.1/messages: 400 User Opted Out (STOP)
}

func ExampleClient_Numbers() {
	server := stand(200, `{"data":[{"id":"12065550100","attributes":{"alias":"front desk"}}],"links":{}}`)
	defer server.Close()
	client, _ := flowroute.New(flowroute.Options{
		BaseURL:     server.URL,
		Credentials: flowroute.Credentials{AccessKey: "29017446", SecretKey: "secret"},
	})

	for number, err := range client.Numbers(context.Background(), flowroute.NumberQuery{StartsWith: "1206"}) {
		if err != nil {
			fmt.Println(err)
			break
		}
		fmt.Println(number.Number, number.Alias)
	}
	// Output: +12065550100 front desk
}

func ExampleParseE164() {
	for _, s := range []string{"+1 (206) 555-1234", "2065551234", "+44 20 7946 0958", "1-800-FLOWERS"} {
		n, err := flowroute.ParseE164(s)
		if err != nil {
			fmt.Println(err)
			continue
		}
		fmt.Println(n)
	}
	// Output:
	// +12065551234
	// +12065551234
	// +442079460958
	// phone number "…1800" contains something that is neither a digit nor a separator
}

func ExampleSegments() {
	fmt.Println(flowroute.Segments("Don't be late!"))
	fmt.Println(flowroute.Segments("Don’t be late! A curly quote leaves seventy characters for each segment."))
	// Output:
	// 1 ascii
	// 2 ucs2
}
