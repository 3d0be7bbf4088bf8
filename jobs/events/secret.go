package events

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"strconv"
	"strings"
	"time"
)

// The headers of a post, as Standard Webhooks has them
// (github.com/standard-webhooks/standard-webhooks, 2023).
const (
	headerID        = "Webhook-Id"
	headerTimestamp = "Webhook-Timestamp"
	headerSignature = "Webhook-Signature"
)

const (
	secretPrefix = "whsec_"
	minKey       = 24 // bytes, the least and the most that the standard has
	maxKey       = 64
)

// errSecret does not show the secret.
var errSecret = errors.New("events: the secret must be whsec_ and the base64 of 24 to 64 random bytes")

// ParseSecret reads a secret in the form that the standard's libraries take.
func ParseSecret(text string) (key []byte, err error) {
	encoded, found := strings.CutPrefix(text, secretPrefix)
	key, err = base64.StdEncoding.DecodeString(encoded)
	if !found || err != nil || len(key) < minKey || len(key) > maxKey {
		return nil, errSecret
	}
	return key, nil
}

// sign returns the signature of a post: HMAC-SHA256 over id, time and body.
func sign(key []byte, id string, at time.Time, body []byte) string {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(id + "." + strconv.FormatInt(at.Unix(), 10) + "."))
	mac.Write(body)
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}
