package reconcile

// CodeName is what Flowroute calls a response code of a receipt (its published table,
// support.flowroute.com/681766, 2025-11); empty for one that is not in it.
func CodeName(code int) string {
	for _, known := range codeNames {
		if known.code == code {
			return known.name
		}
	}
	return ""
}

var codeNames = [...]struct {
	code int
	name string
}{
	{1000, "Default State"}, {1001, "Message queued for delivery"}, {1002, "Message has been sent"},
	{1003, "Message accepted by Carrier"}, {1004, "Message delivered to handset"}, {1005, "Message rejected"},
	{1006, "Message expired"}, {1007, "Message failed"}, {1008, "Permanent Send Error"}, {1100, "Unknown error"},
	{1101, "Source Carrier Invalid"}, {1102, "Destination Carrier Invalid"}, {1103, "Source Not Authorized"},
	{1104, "Source Carrier Disabled"}, {1105, "Destination Carrier Disabled"}, {1106, "No Valid Route"},
	{1107, "Invalid Source TON"}, {1108, "Invalid Destination TON"}, {1109, "Route Denied"}, {1110, "User Opted Out (STOP)"},
	{1111, "Temporary Resolution Failure"}, {1112, "Permanent Resolution Failure"}, {1115, "No Handler found"},
	{1116, "Destination Address is not text enabled"}, {1150, "Spam"}, {1152, "Spam Reject"}, {1200, "Unknown error"},
	{1201, "Message too long"}, {1202, "Invalid Priority Flag"}, {1203, "Invalid registered delivery flag"},
	{1204, "System error"}, {1205, "Invalid source address"}, {1206, "Invalid destination address"},
	{1207, "Message ID is invalid"}, {1208, "Cancelling message failed"}, {1209, "Message replacement failed"},
	{1210, "Message queue full"}, {1211, "Invalid service type"}, {1212, "Invalid number of destinations"},
	{1213, "Invalid distribution list name"}, {1214, "Invalid destination flag"}, {1215, "Invalid submit with replace request"},
	{1216, "Invalid esme class set"}, {1217, "Invalid submit to distribution list"}, {1218, "Submitting message has failed"},
	{1219, "Invalid source address TON"}, {1220, "Invalid source address NPI"},
}
