// What pages can do better with a script. Everything works without it.
"use strict";

// A form that is under way is not sent again.
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.dataset.sent) {
    event.preventDefault();
    return;
  }
  if (form.dataset.upload) {
    event.preventDefault();
    upload(form);
    return;
  }
  form.dataset.sent = "1";
});

// A page that comes back out of the browser's history may be used again.
window.addEventListener("pageshow", () => {
  for (const form of document.querySelectorAll("form[data-sent]")) delete form.dataset.sent;
});

function dress(root) {
  for (const button of root.querySelectorAll("[data-copy]")) button.hidden = !navigator.clipboard;
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  const before = button.textContent;
  await navigator.clipboard.writeText(button.dataset.copy);
  button.textContent = button.dataset.done;
  setTimeout(() => { button.textContent = before; }, 2000);
});

// The chosen receipt is shown before it is sent.
document.addEventListener("change", (event) => {
  const input = event.target;
  if (input.id !== "receipt") return;
  const preview = document.getElementById("receipt-preview");
  if (preview.src) URL.revokeObjectURL(preview.src);
  const file = input.files[0];
  preview.hidden = !(file && file.type.startsWith("image/"));
  if (preview.hidden) preview.removeAttribute("src");
  else preview.src = URL.createObjectURL(file);
  refuse(input, "");
});

function refuse(input, text) {
  document.getElementById("receipt-error").textContent = text;
  if (text) {
    input.setAttribute("aria-invalid", "true");
    input.focus();
  } else {
    input.removeAttribute("aria-invalid");
  }
}

function upload(form) {
  const input = form.querySelector("input[type=file]");
  const button = form.querySelector("button");
  const bar = document.getElementById("receipt-progress");
  const file = input.files[0];
  if (!file) return;
  const texts = form.dataset;
  const request = new XMLHttpRequest();
  const end = (text) => {
    bar.hidden = true;
    button.disabled = false;
    refuse(input, text);
  };
  request.open("PUT", texts.upload);
  request.setRequestHeader("Content-Type", file.type || "application/octet-stream");
  request.upload.addEventListener("progress", (event) => {
    if (event.lengthComputable) bar.value = (100 * event.loaded) / event.total;
  });
  request.addEventListener("error", () => end(texts.failed));
  request.addEventListener("load", () => {
    if (request.status === 200) location.assign(texts.done);
    else if (request.status === 413) end(texts.large);
    else if (request.status === 415) end(texts.unsupported);
    else if (request.status === 409) end(texts.changed);
    else end(texts.failed);
  });
  button.disabled = true;
  bar.value = 0;
  bar.hidden = false;
  refuse(input, "");
  request.send(file);
}

// The news of an order: asked for while the page is looked at, at growing intervals, and swapped in whole.
const FIRST_MS = 2000;
const LAST_MS = 15000;
const GROWTH = 1.15;

function follow() {
  let wait = FIRST_MS;
  let timer;
  const again = () => {
    clearTimeout(timer);
    timer = setTimeout(look, wait);
    wait = Math.min(wait * GROWTH, LAST_MS);
  };
  const look = async () => {
    const order = document.getElementById("order");
    if (!order || !order.dataset.news) return;
    const file = document.getElementById("receipt");
    // Nobody's chosen file, or upload under way, is taken away.
    const isBusy = document.hidden || (file && file.files.length > 0);
    if (!isBusy) {
      try {
        const answer = await fetch(order.dataset.news, { headers: { Accept: "text/html" } });
        if (answer.ok) show(order, new DOMParser().parseFromString(await answer.text(), "text/html"));
      } catch (error) {
        // Offline: the next look may do better.
      }
    }
    again();
  };
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) {
      wait = FIRST_MS;
      again();
    }
  });
  again();
}

function show(order, page) {
  const fresh = page.getElementById("order");
  if (!fresh || fresh.dataset.state === order.dataset.state) return;
  // What stands below keeps its place.
  const main = document.getElementById("main");
  main.style.minHeight = main.offsetHeight + "px";
  document.title = page.title;
  order.replaceWith(document.adoptNode(fresh));
  dress(fresh);
  const news = document.getElementById("news");
  news.textContent = news.dataset.text;
}

dress(document);
if (document.getElementById("order")) follow();
