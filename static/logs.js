// The page of an instance's log: asks every second for what is new and shows it line by line.
(function () {
  "use strict";

  const MOST_LINES = 5000;
  const POLL_MS = 1000;
  const card = document.querySelector("[data-log]");
  const part = (name) => card.querySelector(`[data-log-${name}]`);
  const box = part("lines"), note = part("note"), count = part("count");
  const filter = part("filter"), follow = part("follow"), wrap = part("wrap"), download = part("download");

  let stream = "", next = 0, over = false, partial = null;

  function wanted(line) {
    return line.toLowerCase().includes(filter.value.toLowerCase());
  }

  function row(text) {
    const el = document.createElement("div");
    el.textContent = text;
    el.classList.toggle("is-left-out", !wanted(text));
    return el;
  }

  function showCount() {
    const all = box.children.length - (partial ? 1 : 0);
    const shown = filter.value ? box.querySelectorAll("div:not(.is-left-out)").length : all;
    count.textContent = filter.value ? `${shown} of ${all} lines` : `${all} line${all === 1 ? "" : "s"}`;
  }

  function add(piece) {
    if (piece.reset) box.replaceChildren();
    if (partial) { partial.remove(); partial = null; }
    const lines = piece.text.split("\n");
    if (lines[lines.length - 1] === "") lines.pop();
    box.append(...lines.slice(-MOST_LINES).map(row));
    while (box.children.length > MOST_LINES) box.firstElementChild.remove();
    if (piece.partial) {
      partial = row(piece.partial);
      partial.classList.add("is-partial");
      box.append(partial);
    }
    if (follow.checked && (lines.length || piece.partial)) box.scrollTop = box.scrollHeight;
    showCount();
  }

  function take(piece) {
    if (piece.stream !== undefined) { stream = piece.stream; next = piece.next; }
    if (piece.reset || piece.text || partial || piece.partial) add(piece);
    over = Boolean(piece.over);
    note.textContent = piece.note || (over ? "All that was kept." : "Live");
  }

  async function poll() {
    if (!document.hidden && !over) {
      try {
        const query = new URLSearchParams({ stream, after: next });
        const answer = await fetch(`${card.dataset.tail}?${query}`, { headers: { Accept: "application/json" } });
        if (answer.redirected) { location.reload(); return; }
        if (answer.ok) take(await answer.json());
        else if (answer.status === 404) { over = true; note.textContent = "This log is not kept any more."; }
        else note.textContent = "The server can't answer now. Trying again…";
      } catch {
        note.textContent = "The server can't be reached. Trying again…";
      }
    }
    setTimeout(poll, POLL_MS);
  }

  async function whenReady(url) {
    for (let tries = 0; tries < 120; tries++) {
      const answer = await fetch(url);
      if (answer.status === 200) return;
      if (answer.status !== 202) throw new Error("The log could not be fetched.");
      await new Promise((done) => setTimeout(done, 500));
    }
    throw new Error("The machine did not answer in time.");
  }

  async function fetchAll() {
    const answer = await fetch(card.dataset.request, { method: "POST", headers: { "X-CSRFToken": card.dataset.csrf } });
    const told = await answer.json();
    if (!answer.ok) throw new Error(told.msg);
    const url = new URL(told.result_url);
    const own = url.pathname;
    await whenReady(own);
    location.assign(`${own}?download=1`);
  }

  download.addEventListener("click", async () => {
    download.disabled = true;
    try {
      await fetchAll();
    } catch (error) {
      document.dispatchEvent(new CustomEvent("toast", { detail: { level: "error", text: error.message } }));
    }
    download.disabled = false;
  });

  filter.addEventListener("input", () => {
    for (const el of box.children) el.classList.toggle("is-left-out", !wanted(el.textContent));
    showCount();
    if (follow.checked) box.scrollTop = box.scrollHeight;
  });
  wrap.addEventListener("change", () => box.classList.toggle("is-wrapped", wrap.checked));
  follow.addEventListener("change", () => { if (follow.checked) box.scrollTop = box.scrollHeight; });
  // Who scrolls up wants to read: following ends, and begins again at the end.
  box.addEventListener("wheel", () => setTimeout(atEnd, 50), { passive: true });
  box.addEventListener("touchmove", () => setTimeout(atEnd, 50), { passive: true });
  box.addEventListener("keyup", atEnd);
  function atEnd() {
    follow.checked = box.scrollHeight - box.scrollTop - box.clientHeight < 24;
  }

  box.classList.add("is-wrapped");
  poll();
})();
