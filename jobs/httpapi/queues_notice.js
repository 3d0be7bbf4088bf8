// Shows what the server says of an action: asynqmon's own pages drop the text of a
// call that failed. Runs before them, and watches their calls.
(function () {
  "use strict";
  var open = XMLHttpRequest.prototype.open;

  function show(lines) {
    var box = document.getElementById("flowroute-notice");
    if (!box) {
      box = document.createElement("div");
      box.id = "flowroute-notice";
      box.setAttribute("role", "alert");
      box.style.cssText = "position:fixed;z-index:9999;left:50%;bottom:24px;transform:translateX(-50%);max-width:640px;" +
        "max-height:50vh;overflow:auto;padding:14px 18px;border-radius:6px;background:#7a1f1f;color:#fff;" +
        "font:14px/1.45 sans-serif;white-space:pre-line;cursor:pointer;box-shadow:0 4px 16px rgba(0,0,0,.4)";
      box.title = "Click to close";
      box.onclick = function () { box.remove(); };
      document.body.appendChild(box);
    }
    box.textContent = lines.join("\n");
  }

  function notes(text) {
    try {
      var found = JSON.parse(text).notes || {};
      return Object.keys(found).map(function (id) { return found[id]; });
    } catch (e) {
      return [];
    }
  }

  XMLHttpRequest.prototype.open = function (method) {
    if (String(method).toUpperCase() !== "GET") {
      this.addEventListener("loadend", function () {
        var text = this.responseType === "" || this.responseType === "text" ? this.responseText : "";
        if (this.status >= 400) {
          show([text || "The server refused this (" + this.status + ")."]);
        } else if (notes(text).length > 0) {
          show(notes(text));
        }
      });
    }
    return open.apply(this, arguments);
  };
})();
