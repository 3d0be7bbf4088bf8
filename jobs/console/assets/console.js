// Swaps the parts of a page that change for fresh ones every few seconds.
"use strict";
(() => {
  const live = document.getElementById("live");
  const parts = [...document.querySelectorAll("[data-source]")];
  const failing = new Set();

  // Nobody likes text to vanish while it is being marked, or a button while it is
  // being pressed.
  const busy = (part) => {
    const selection = document.getSelection();
    return part.matches(":active") || (selection && !selection.isCollapsed && part.contains(selection.anchorNode));
  };

  // What has the focus is found again by its id, or by where it leads.
  const focus = (part) => {
    const at = document.activeElement;
    if (!at || !part.contains(at)) return null;
    if (at.id) return "#" + CSS.escape(at.id);
    return at.hasAttribute("href") ? `a[href="${CSS.escape(at.getAttribute("href"))}"]` : null;
  };

  const refresh = async (part) => {
    if (document.hidden || busy(part)) return;
    const answer = await fetch(part.dataset.source, { credentials: "same-origin", signal: AbortSignal.timeout(10000) });
    if (answer.status === 401) {
      location.assign("/login?next=" + encodeURIComponent(location.pathname + location.search));
      return;
    }
    if (!answer.ok) throw new Error("status " + answer.status);
    const html = await answer.text();
    if (busy(part)) return;
    const scrolled = [...part.querySelectorAll(".scroll")].map((box) => box.scrollLeft);
    const focused = focus(part);
    part.innerHTML = html;
    part.querySelectorAll(".scroll").forEach((box, i) => { box.scrollLeft = scrolled[i] || 0; });
    if (focused) part.querySelector(focused)?.focus({ preventScroll: true });
  };

  const loop = async (part) => {
    try {
      await refresh(part);
      failing.delete(part);
    } catch {
      failing.add(part);
    }
    part.classList.toggle("stale", failing.has(part));
    live.hidden = failing.size === 0;
    setTimeout(loop, Number(part.dataset.every) || 3000, part);
  };
  for (const part of parts) setTimeout(loop, Number(part.dataset.every) || 3000, part);
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) parts.forEach((part) => refresh(part).catch(() => {}));
  });
})();
