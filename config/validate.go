package config

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"time"
)

const (
	// shutdownMargin is what is left after the last API request of a drain,
	// for writing its outcome.
	shutdownMargin = 5 * time.Second
	// minSettle is how long Flowroute's records must be given in earnest: a
	// shorter wait could take a message that is still on its way into them for
	// one that was never accepted, and send it twice.
	minSettle = 30 * time.Second
	// minWebhookSecret is what cannot be guessed at the speed of a web server.
	minWebhookSecret = 16
)

// contradictions are the rules that span variables or outgrow a tag. A rule
// is left out when one of its variables has a problem already.
func (c *Config) contradictions(known []*Problem) []*Problem {
	var found []*Problem
	refuse := func(when bool, name, value, rule string, others ...string) {
		names := append(others, name)
		sound := !slices.ContainsFunc(known, func(p *Problem) bool {
			return slices.Contains(names, strings.TrimSuffix(p.Variable, fileSuffix))
		})
		if when && sound {
			found = append(found, &Problem{Variable: name, Value: value, Rule: rule})
		}
	}

	refuse(strings.ContainsFunc(c.AccessKey, func(r rune) bool { return r == ':' || notVisible(r) }),
		"FR_ACCESS_KEY", "", "must be visible ASCII characters without a colon")
	refuse(strings.ContainsFunc(c.SecretKey.Reveal(), notVisible),
		"FR_SECRET_KEY", "", "must be visible ASCII characters")
	refuse(strings.ContainsFunc(c.AccountAlias, notInName),
		"FR_ACCOUNT_ALIAS", c.AccountAlias, "must be letters, digits, dot, dash and underscore")

	refuse(!c.BaseURL.encrypted(), "FLOWROUTE_BASE_URL", string(c.BaseURL), "must be https, since credentials go there (http only to a loopback address)")
	refuse(c.BaseURL.hasQuery(), "FLOWROUTE_BASE_URL", string(c.BaseURL), "must not have a query")
	refuse(c.ShutdownTimeout < c.Timeout+shutdownMargin,
		"SHUTDOWN_TIMEOUT", c.ShutdownTimeout.String(),
		fmt.Sprintf("must be at least FLOWROUTE_TIMEOUT + %s, which makes %s", shutdownMargin, c.Timeout+shutdownMargin), "FLOWROUTE_TIMEOUT")

	refuse(c.AmbiguousSettle < minSettle && !c.BaseURL.Loopback(),
		"AMBIGUOUS_SETTLE", c.AmbiguousSettle.String(),
		fmt.Sprintf("must be at least %s unless FLOWROUTE_BASE_URL is a loopback address", minSettle), "FLOWROUTE_BASE_URL")
	refuse(c.AmbiguousSettleIdle < c.AmbiguousSettle,
		"AMBIGUOUS_SETTLE_IDLE", c.AmbiguousSettleIdle.String(),
		fmt.Sprintf("must be at least AMBIGUOUS_SETTLE, which is %s", c.AmbiguousSettle), "AMBIGUOUS_SETTLE")
	refuse(c.AmbiguousMax < c.AmbiguousSettle,
		"AMBIGUOUS_MAX", c.AmbiguousMax.String(),
		fmt.Sprintf("must be at least AMBIGUOUS_SETTLE, which is %s", c.AmbiguousSettle), "AMBIGUOUS_SETTLE")

	webhookSecret := c.WebhookSecret.Reveal()
	refuse(webhookSecret != "" && (len(webhookSecret) < minWebhookSecret || strings.ContainsFunc(webhookSecret, notInName)),
		"WEBHOOK_SECRET", "", fmt.Sprintf("must be at least %d letters, digits, dots, dashes and underscores: it is part of a path", minWebhookSecret))
	refuse(!c.PublicURL.encrypted() && c.PublicURL != "", "PUBLIC_URL", string(c.PublicURL), "must be https (http only on a loopback address)")
	refuse(c.PublicURL.hasQuery(), "PUBLIC_URL", string(c.PublicURL), "must not have a query")
	refuse(c.PublicURL != "" && webhookSecret == "", "WEBHOOK_SECRET", "",
		"must be set when PUBLIC_URL is, or anybody could forge receipts: make one with openssl rand -hex 16, the same for all processes", "PUBLIC_URL")

	c.checkReceivers(refuse)

	eventsSecret := c.EventsSecret.Reveal()
	const howToSign = "make one with echo whsec_$(openssl rand -base64 32)"
	refuse(eventsSecret != "" && !isSigningSecret(eventsSecret), "EVENTS_SECRET", "",
		"must be whsec_ and the base64 of 24 to 64 bytes: "+howToSign)
	refuse(c.EventsURL != "" && eventsSecret == "", "EVENTS_SECRET", "",
		"must be set when EVENTS_URL is, or its receiver could not tell our posts from others': "+howToSign, "EVENTS_URL")

	refuse(!c.HTTPAddr.Loopback() && len(c.APITokens) == 0,
		"HTTP_ADDR", string(c.HTTPAddr), "must be a loopback address unless API_TOKENS is set: anybody who can connect could send", "API_TOKENS")
	return found
}

// isSigningSecret reports whether the text is a secret of the form that Standard
// Webhooks has.
func isSigningSecret(text string) bool {
	encoded, found := strings.CutPrefix(text, "whsec_")
	key, err := base64.StdEncoding.DecodeString(encoded)
	return found && err == nil && len(key) >= 24 && len(key) <= 64
}

// NeedCredentials returns what [Load] lets pass, because not every command
// talks to Flowroute: an error with a [*Problem] for each key that is
// missing, or nil.
func (c *Config) NeedCredentials() error {
	const rule = "must be set: this command talks to Flowroute"
	var missing []*Problem
	if c.AccessKey == "" {
		missing = append(missing, &Problem{Variable: "FR_ACCESS_KEY", Rule: rule})
	}
	if c.SecretKey.IsZero() {
		missing = append(missing, &Problem{Variable: "FR_SECRET_KEY", Rule: rule + " (FR_SECRET_KEY_FILE will do)"})
	}
	return join(missing)
}
