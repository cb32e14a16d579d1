// The little that pages do in the browser besides htmx: theme, copying, ticking numbers, dialogs and toasts.
// Loaded in <head> before anything is drawn, so that the theme is right from the first frame.
(function () {
  "use strict";

  const root = document.documentElement;

  // --- theme: "light", "dark" or nothing (follow the system) -----------------------------------------------------
  const systemDark = window.matchMedia("(prefers-color-scheme: dark)");

  function chosenTheme() {
    try { return localStorage.getItem("spotyard-theme"); } catch { return null; }
  }

  function applyTheme() {
    root.dataset.bsTheme = chosenTheme() || (systemDark.matches ? "dark" : "light");
  }

  function toggleTheme() {
    const next = root.dataset.bsTheme === "dark" ? "light" : "dark";
    try { localStorage.setItem("spotyard-theme", next); } catch { /* private mode: the choice lasts for this page */ }
    root.dataset.bsTheme = next;
  }

  applyTheme();
  systemDark.addEventListener("change", applyTheme);

  // --- copying ---------------------------------------------------------------------------------------------------
  async function copyText(text) {
    if (navigator.clipboard && window.isSecureContext) {
      await navigator.clipboard.writeText(text);
      return;
    }
    // Plain-http installations have no clipboard API.
    const area = document.createElement("textarea");
    area.value = text;
    area.style.position = "fixed";
    area.style.opacity = "0";
    (document.querySelector(".modal.show") || document.body).appendChild(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }

  async function copyFrom(button) {
    const source = button.dataset.copyFrom ? document.querySelector(button.dataset.copyFrom) : null;
    await copyText(source ? source.value || source.textContent.trim() : button.dataset.copy);
    button.classList.add("is-copied");
    setTimeout(() => button.classList.remove("is-copied"), 1600);
  }

  // --- ticking numbers -------------------------------------------------------------------------------------------
  function spell(seconds) {
    const s = Math.max(0, Math.floor(seconds));
    const days = Math.floor(s / 86400), hours = Math.floor(s / 3600) % 24, minutes = Math.floor(s / 60) % 60;
    if (days) return `${days} d ${hours} h`;
    if (hours) return `${hours} h ${minutes} min`;
    if (minutes) return `${minutes} min ${s % 60} s`;
    return `${s} s`;
  }

  // To the second, for what must not be missed: "89 d 21:54:59".
  function countDown(seconds) {
    const s = Math.max(0, Math.floor(seconds));
    const pair = (n) => String(n).padStart(2, "0");
    const clock = `${pair(Math.floor(s / 3600) % 24)}:${pair(Math.floor(s / 60) % 60)}:${pair(s % 60)}`;
    return s >= 86400 ? `${Math.floor(s / 86400)} d ${clock}` : clock;
  }

  function tick() {
    const now = Date.now() / 1000;
    for (const el of document.querySelectorAll("[data-since]")) el.textContent = spell(now - Number(el.dataset.since));
    for (const el of document.querySelectorAll("[data-until]")) el.textContent = spell(Number(el.dataset.until) - now);
    for (const el of document.querySelectorAll("[data-countdown]")) el.textContent = countDown(Number(el.dataset.countdown) - now);
  }

  // --- dialogs and toasts ----------------------------------------------------------------------------------------
  function openDialog() {
    const el = document.getElementById("dialog");
    if (el && window.tabler) window.tabler.Modal.getOrCreateInstance(el).show();
  }

  // Asked to hide while it is still fading in, Bootstrap's modal does nothing.
  let opening = false;
  document.addEventListener("show.bs.modal", () => { opening = true; });
  document.addEventListener("shown.bs.modal", () => { opening = false; });

  function closeDialog() {
    const el = document.getElementById("dialog");
    if (!el || !window.tabler) return;
    const hide = () => window.tabler.Modal.getOrCreateInstance(el).hide();
    if (opening) el.addEventListener("shown.bs.modal", hide, { once: true });
    else hide();
  }

  function showToasts() {
    if (!window.tabler) return;
    for (const el of document.querySelectorAll(".toast:not([data-shown])")) {
      el.dataset.shown = "1";
      el.addEventListener("hidden.bs.toast", () => el.remove());
      window.tabler.Toast.getOrCreateInstance(el).show();
    }
  }

  // What the server says in a header instead of in the page, e.g. a refusal.
  function addToast(message) {
    const template = document.getElementById("toast-template");
    const toast = template.content.firstElementChild.cloneNode(true);
    toast.querySelector(".toast-text").textContent = message.text;
    toast.querySelector(".toast-icon").classList.add(`toast-icon-${message.level}`);
    document.getElementById("toasts").appendChild(toast);
    showToasts();
  }

  function addRow(button) {
    const template = document.querySelector(button.dataset.addRow);
    const rows = document.querySelector(button.dataset.into);
    rows.appendChild(template.content.cloneNode(true));
    rows.lastElementChild.querySelector("input").focus();
  }

  // --- events ----------------------------------------------------------------------------------------------------
  document.addEventListener("click", (event) => {
    const el = event.target.closest("[data-copy],[data-copy-from],[data-theme-toggle],[data-add-row],[data-remove-row],[data-fill]");
    if (!el) return;
    if (el.hasAttribute("data-theme-toggle")) toggleTheme();
    else if (el.hasAttribute("data-add-row")) addRow(el);
    else if (el.hasAttribute("data-remove-row")) el.closest("[data-row]").remove();
    else if (el.hasAttribute("data-fill")) fill(el);
    else copyFrom(el);
    event.preventDefault();
  });

  // A suggestion that fills a field, e.g. one of the usual images.
  function fill(el) {
    const target = document.querySelector(el.dataset.fill);
    target.value = el.dataset.value;
    target.dispatchEvent(new Event("input", { bubbles: true }));
    target.dispatchEvent(new Event("change", { bubbles: true }));
  }

  // A slider and a number that show the same value.
  document.addEventListener("input", (event) => {
    const twin = event.target.dataset && event.target.dataset.twin;
    if (twin) document.querySelector(twin).value = event.target.value;
  });

  // A plain form is sent once, however often its button is clicked.
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.method !== "post" || form.matches("[hx-post]") || event.defaultPrevented) return;
    if (form.dataset.sent) { event.preventDefault(); return; }
    form.dataset.sent = "1";
    setTimeout(() => { delete form.dataset.sent; }, 4000);
  });

  // Polling rests while nobody looks, and never pulls a menu or a field away from under the user.
  const inUse = (el) => el.querySelector(".dropdown-menu.show, input:focus, textarea:focus, select:focus") !== null;
  document.addEventListener("htmx:beforeRequest", (event) => {
    const el = event.detail.elt;
    if (el.hasAttribute("data-poll") && (document.hidden || inUse(el))) event.preventDefault();
  });
  // What was asked for before the menu opened may be answered afterwards.
  document.addEventListener("htmx:beforeSwap", (event) => {
    const el = event.detail.requestConfig.elt;
    if (el.hasAttribute("data-poll") && inUse(el)) event.detail.shouldSwap = false;
  });

  // Bookmarkable addresses: fields left empty stay out of the URL.
  document.addEventListener("htmx:configRequest", (event) => {
    if (!event.detail.elt.closest("[data-tidy-url]") || event.detail.verb !== "get") return;
    const data = event.detail.formData;
    for (const [name, value] of [...data.entries()]) if (value === "") data.delete(name);
  });

  document.addEventListener("htmx:afterSwap", (event) => {
    if (event.detail.target.id === "dialog-content" && event.detail.target.innerHTML.trim()) openDialog();
  });
  document.addEventListener("htmx:afterSettle", () => { tick(); showToasts(); });
  document.addEventListener("htmx:oobAfterSwap", showToasts);
  document.addEventListener("dialog-close", closeDialog);
  document.addEventListener("toast", (event) => addToast(event.detail));

  function setOffline(offline) { root.classList.toggle("is-offline", offline); }
  document.addEventListener("htmx:sendError", () => setOffline(true));
  document.addEventListener("htmx:afterRequest", (event) => { if (event.detail.xhr.status) setOffline(false); });

  document.addEventListener("DOMContentLoaded", () => {
    tick();
    setInterval(tick, 1000);
    showToasts();
    const search = document.querySelector("[data-autofocus]");
    if (search) search.focus();
  });
})();
