// Swaps the overview for a fresh one every few seconds.
"use strict";
(() => {
  const every = 3000;
  const main = document.getElementById("overview");
  const live = document.getElementById("live");
  if (!main) return;

  // Nobody likes text to vanish while it is being marked.
  const marking = () => {
    const selection = document.getSelection();
    return selection && !selection.isCollapsed && main.contains(selection.anchorNode);
  };

  const refresh = async () => {
    if (document.hidden || marking()) return;
    const answer = await fetch(main.dataset.source, { credentials: "same-origin", signal: AbortSignal.timeout(10000) });
    if (answer.status === 401) {
      location.assign("/login?next=" + encodeURIComponent(location.pathname));
      return;
    }
    if (!answer.ok) throw new Error("status " + answer.status);
    const html = await answer.text();
    const scrolled = [...main.querySelectorAll(".scroll")].map((box) => box.scrollLeft);
    const focused = document.activeElement && main.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
    main.innerHTML = html;
    main.querySelectorAll(".scroll").forEach((box, i) => { box.scrollLeft = scrolled[i] || 0; });
    if (focused) main.querySelector(`a[href="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
  };

  const loop = async () => {
    try {
      await refresh();
      live.hidden = true;
      main.classList.remove("stale");
    } catch {
      live.hidden = false;
      main.classList.add("stale");
    }
    setTimeout(loop, every);
  };
  setTimeout(loop, every);
  document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh().catch(() => {}); });
})();
