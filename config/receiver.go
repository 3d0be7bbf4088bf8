package config

import (
	"net/url"
	"strings"
)

// checkReceivers refuses what is wrong with the FORWARD_…_URLs.
func (c *Config) checkReceivers(refuse func(when bool, name, value, rule string, others ...string)) {
	for _, to := range []struct {
		name string
		url  Secret
	}{
		{"FORWARD_DLR_URL", c.ForwardDLRURL}, {"FORWARD_SMS_URL", c.ForwardSMSURL}, {"FORWARD_MMS_URL", c.ForwardMMSURL},
	} {
		rule := c.wrongReceiver(to.url.Reveal())
		refuse(rule != "", to.name, "", rule, "PUBLIC_URL")
		refuse(rule == "" && !to.url.IsZero() && c.WebhookSecret.IsZero(), to.name, "",
			"has no effect without WEBHOOK_SECRET: only what Flowroute posts to our webhooks can be posted on", "WEBHOOK_SECRET")
	}
}

// wrongReceiver says what is wrong with an address to which Flowroute's posts are
// posted on, with the texts of messages in them; empty: nothing. It quotes nothing: a
// password may be in it.
func (c *Config) wrongReceiver(text string) string {
	if text == "" {
		return ""
	}
	const rule = "must be an absolute URL such as https://example.com/hook, without fragment"
	parsed, err := url.Parse(text)
	if err != nil || parsed.Hostname() == "" || strings.Contains(text, "#") || parsed.Scheme != "https" && parsed.Scheme != "http" {
		return rule
	}
	if port := parsed.Port(); port != "" && !isPort(port) {
		return rule
	}
	if parsed.Scheme != "https" && !isLoopback(parsed.Hostname()) {
		return "must be https (http only to a loopback address): the texts of messages go there"
	}
	if c.PublicURL != "" && strings.HasPrefix(text, string(c.PublicURL)+"/webhooks/flowroute/") {
		return "must not lead to our own webhook: what it posts on would come back for ever"
	}
	return ""
}
