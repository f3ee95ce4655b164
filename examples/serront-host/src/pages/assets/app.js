// Improves the pages with a script. Everything works without it.
"use strict";

// A form that changes something is not sent again while it is being sent. Its answer may take long, or may be given up.
const SENT_MS = 10000;

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
  // Repeating a read, such as a filter, does no harm.
  if (!("once" in form.dataset)) return;
  form.dataset.sent = "1";
  setTimeout(() => { delete form.dataset.sent; }, SENT_MS);
});

// A page restored from the browser's history can be used again.
window.addEventListener("pageshow", () => {
  for (const form of document.querySelectorAll("form[data-sent]")) delete form.dataset.sent;
});

function dress(root) {
  for (const button of root.querySelectorAll("[data-copy]")) button.hidden = false;
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  // Browsers within apps have no clipboard, or refuse it.
  Promise.resolve()
    .then(() => navigator.clipboard.writeText(button.dataset.copy))
    .then(() => copied(button))
    .catch(() => select(button));
});

function copied(button) {
  const texts = button.dataset;
  if (!texts.label) texts.label = button.textContent;
  button.textContent = texts.done;
  button.closest("[data-copies]").querySelector("[role=status]").textContent = "";
  say(texts.done);
  setTimeout(() => { button.textContent = texts.label; }, 2000);
}

// If a text can't be copied, it is selected, so that the user can copy it; of an account number only the digits.
function select(button) {
  const place = button.closest("[data-copies]");
  const text = place.querySelector("[data-copied]");
  text.textContent = button.dataset.copy;
  window.getSelection().selectAllChildren(text);
  place.querySelector("[role=status]").textContent = button.dataset.refused;
}

// Invisible characters are copied with an address or a number, and the browser would refuse them.
const UNSEEN = /[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]/g;

document.addEventListener("change", (event) => {
  const input = event.target;
  if (["email", "tel", "url", "date"].includes(input.getAttribute("type")) && input.value.search(UNSEEN) >= 0) {
    input.value = input.value.replace(UNSEEN, "");
  }
});

// Has a text read out, if the page has a place for it.
function say(text) {
  const news = document.getElementById("news");
  if (news) news.textContent = text;
}

// Shows the chosen receipt before it is sent, if the browser can show it; the file's name does not matter.
document.addEventListener("change", (event) => {
  const input = event.target;
  if (input.id !== "receipt") return;
  const preview = document.getElementById("receipt-preview");
  if (preview.src) URL.revokeObjectURL(preview.src);
  const file = input.files[0];
  preview.hidden = true;
  preview.onload = () => { preview.hidden = false; };
  if (file) preview.src = URL.createObjectURL(file);
  else preview.removeAttribute("src");
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

// The size of a redrawn picture: phones make canvases of at most 16 megapixels.
const SIDE_MAX = 4096;
const QUALITY = 0.85;
const SMALLER = 0.7;
const ROUNDS_MAX = 8;
// A picture is checked in this many rows.
const ROWS = 32;

async function upload(form) {
  const input = form.querySelector("input[type=file]");
  const button = form.querySelector("button");
  const bar = document.getElementById("receipt-progress");
  const file = input.files[0];
  if (!file || button.disabled) return;
  const bytesMax = Number(form.dataset.bytesMax);
  button.disabled = true;
  bar.value = 0;
  bar.hidden = false;
  refuse(input, "");
  let answer = { status: 413, text: form.dataset.large };
  try {
    if (file.size <= bytesMax) answer = await send(form, input.name, file, bar);
    if (answer.status === 413 || answer.status === 415) {
      // What the browser can show it can also draw, as a JPEG within the bounds.
      const picture = await redraw(file, bytesMax);
      if (picture) answer = await send(form, input.name, picture, bar);
    }
  } catch (error) {
    answer = { status: 0, text: form.dataset.failed };
  }
  if (answer.status === 200) {
    location.assign(form.dataset.done);
    return;
  }
  bar.hidden = true;
  button.disabled = false;
  refuse(input, answer.text);
}

// Sends the form with this file. Returns the status and the page.
function send(form, field, file, bar) {
  const texts = form.dataset;
  return new Promise((resolve) => {
    const data = new FormData(form);
    data.set(field, file, "receipt");
    const request = new XMLHttpRequest();
    request.open("POST", texts.upload);
    request.setRequestHeader("Accept", "text/html");
    request.responseType = "document";
    request.upload.addEventListener("progress", (event) => {
      if (event.lengthComputable) bar.value = (100 * event.loaded) / event.total;
    });
    request.addEventListener("error", () => resolve({ status: 0, text: texts.failed }));
    request.addEventListener("load", () => {
      // A proxy's answer contains nothing that can be shown.
      const others = { 409: texts.changed, 413: texts.large, 415: texts.unsupported, 429: texts.busy, 503: texts.busy };
      const text = saidBy(request.response) || others[request.status] || texts.wrong;
      resolve({ status: request.status, text });
    });
    request.send(data);
  });
}

// The refusal in the returned page.
function saidBy(page) {
  const said = page && page.querySelector("#receipt-error:not(:empty), #main > .narrow p");
  return said ? said.textContent.trim() : "";
}

// The picture in a file as a JPEG of at most this many bytes; null if the browser can't show it completely.
async function redraw(file, bytesMax) {
  const address = URL.createObjectURL(file);
  try {
    const image = await loaded(address);
    if (!reachesItsEnd(image)) return null;
    let scale = Math.min(1, SIDE_MAX / Math.max(image.naturalWidth, image.naturalHeight));
    for (let round = 0; round < ROUNDS_MAX; round += 1) {
      const picture = await drawn(image, scale);
      if (picture && picture.size <= bytesMax) return picture;
      scale *= SMALLER;
    }
    return null;
  } catch (error) {
    return null;
  } finally {
    URL.revokeObjectURL(address);
  }
}

function loaded(address) {
  return new Promise((resolve, reject) => {
    const image = new Image();
    image.onload = () => resolve(image);
    image.onerror = () => reject(new Error("not an image"));
    image.src = address;
  });
}

// Of a truncated file the browser draws what there is, and leaves the rest transparent.
function reachesItsEnd(image) {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = ROWS;
  const context = canvas.getContext("2d");
  context.drawImage(image, 0, 0, ROWS, ROWS);
  const last = context.getImageData(0, ROWS - 1, ROWS, 1).data;
  return last.some((value, index) => index % 4 === 3 && value > 0);
}

function drawn(image, scale) {
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(image.naturalWidth * scale));
  canvas.height = Math.max(1, Math.round(image.naturalHeight * scale));
  const context = canvas.getContext("2d");
  // JPEG has no transparency.
  context.fillStyle = "#fff";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(image, 0, 0, canvas.width, canvas.height);
  return new Promise((resolve) => { canvas.toBlob(resolve, "image/jpeg", QUALITY); });
}

// Updates of an order: requested while the page is visible, at growing intervals, and replaced as a whole.
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
    if (!document.hidden) {
      try {
        const answer = await fetch(order.dataset.news, { headers: { Accept: "text/html" } });
        if (answer.ok) show(new DOMParser().parseFromString(await answer.text(), "text/html"));
      } catch (error) {
        // Offline: the next attempt may succeed.
      }
    }
    again();
  };
  const begin = () => {
    wait = FIRST_MS;
    again();
  };
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) begin();
  });
  // A page restored from the browser's history may be out of date.
  window.addEventListener("pageshow", (event) => {
    if (event.persisted) look();
  });
  begin();
}

function show(page) {
  const order = document.getElementById("order");
  const fresh = page.getElementById("order");
  if (!order || !fresh || fresh.dataset.state === order.dataset.state) return;
  const news = document.getElementById("news");
  const file = document.getElementById("receipt");
  if (file && file.files.length > 0) {
    // A chosen file or a running upload is kept, but the page is marked as out of date.
    news.className = "alert";
    news.textContent = news.dataset.stale;
    return;
  }
  // The content below keeps its position.
  const main = document.getElementById("main");
  main.style.minHeight = main.offsetHeight + "px";
  document.title = page.title;
  const focused = order.contains(document.activeElement) ? document.activeElement : null;
  const folded = order.querySelector("details[open]");
  order.replaceWith(document.adoptNode(fresh));
  dress(fresh);
  if (folded && fresh.querySelector("details")) fresh.querySelector("details").open = true;
  if (focused) {
    const again = (focused.id && document.getElementById(focused.id)) || fresh.querySelector("h1");
    again.tabIndex = again.tagName === "H1" ? -1 : again.tabIndex;
    again.focus({ preventScroll: true });
  }
  say(news.dataset.text);
}

dress(document);
if (document.getElementById("order")) follow();
