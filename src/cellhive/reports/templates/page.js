"use strict";
(function () {
  const root = document.documentElement;
  root.classList.add("js");
  const button = document.getElementById("theme");
  if (button) button.addEventListener("click", function () {
    const dark = root.dataset.theme
      ? root.dataset.theme === "dark"
      : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
  });

  const open = function () {
    let node = location.hash.length > 1 && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    const target = node;
    while (node) { if (node.tagName === "DETAILS") node.open = true; node = node.parentElement; }
    if (target) target.scrollIntoView();
  };
  addEventListener("hashchange", open);
  if (location.hash) open();

  /* A plot wider than the screen shows its first marked span, or at least how that begins. */
  const scrolled = function (figure) {
    const span = figure.querySelector("svg.chart rect.span");
    if (!span || figure.scrollWidth <= figure.clientWidth) return;
    const marked = span.getBoundingClientRect(), seen = figure.getBoundingClientRect();
    figure.scrollLeft += Math.min(marked.right - seen.right + 24, marked.left - seen.left - seen.width / 3);
  };
  document.querySelectorAll("figure").forEach(scrolled);
  document.querySelectorAll("details").forEach(function (fold) {
    fold.addEventListener("toggle", function () { fold.querySelectorAll("figure").forEach(scrolled); });
  });

  const compare = function (a, b) {
    if (a === "" || b === "") return (a === "") - (b === "");
    const x = Number(a), y = Number(b);
    return Number.isNaN(x) || Number.isNaN(y) ? a.localeCompare(b, "en", { numeric: true }) : x - y;
  };
  const field = function (text) {
    const plain = text.replace(/[\u00a0\u202f]/g, " ").replace(/\u2212/g, "-").trim();
    const safe = /^[=+@\t]|^-(?![\d.])/.test(plain) && !/^\+[\d.]/.test(plain) ? "'" + plain : plain;
    return /[",\n]/.test(safe) ? '"' + safe.replace(/"/g, '""') + '"' : safe;
  };
  const words = function (cell) {
    const copy = cell.cloneNode(true);
    copy.querySelectorAll("svg").forEach(function (one) { one.remove(); });
    return field(copy.textContent.replace(/\s+/g, " "));
  };
  const copier = function (table) {
    const button = document.createElement("button");
    button.type = "button"; button.className = "copy"; button.textContent = "Copy as CSV";
    button.addEventListener("click", function () {
      const text = Array.from(table.rows).filter(function (row) { return !row.hidden; })
        .map(function (row) { return Array.from(row.cells).map(words).join(","); }).join("\n");
      const done = function () { button.textContent = "Copied"; setTimeout(function () { button.textContent = "Copy as CSV"; }, 1500); };
      const byHand = function () {
        const area = document.createElement("textarea");
        area.value = text; document.body.append(area); area.select();
        if (document.execCommand("copy")) done();
        area.remove();
      };
      if (navigator.clipboard && isSecureContext) navigator.clipboard.writeText(text).then(done, byHand); else byHand();
    });
    return button;
  };
  document.querySelectorAll("table.sortable").forEach(function (table) {
    const heads = Array.from(table.tHead.rows[0].cells);
    heads.forEach(function (head, column) {
      head.querySelector("button").addEventListener("click", function () {
        const down = head.getAttribute("aria-sort") === "ascending";
        heads.forEach(function (other) { other.removeAttribute("aria-sort"); });
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        const rows = Array.from(table.tBodies[0].rows);
        const key = function (row) { return row.cells[column].dataset.key; };
        rows.sort(function (a, b) {
          const p = key(a), q = key(b);
          const order = compare(p, q);
          return p === "" || q === "" ? order : down ? -order : order;
        });
        table.tBodies[0].append.apply(table.tBodies[0], rows);
      });
    });
    const place = table.closest(".tablebox");
    const box = place.querySelector(".filter");
    if (table.tBodies[0].rows.length > 2) {
      const bar = box || document.createElement("div");
      bar.classList.add("bar"); bar.append(copier(table));
      if (!box) place.prepend(bar);
    }
    if (!box) return;
    const input = box.querySelector("input");
    input.addEventListener("input", function () {
      const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0;
      Array.from(table.tBodies[0].rows).forEach(function (row) {
        const text = row.textContent.toLowerCase();
        row.hidden = !words.every(function (word) { return text.includes(word); });
        shown += !row.hidden;
      });
      box.querySelector(".count").textContent = words.length ? shown + " shown" : "";
    });
  });

  let tip = null, held = null, text = "";
  const release = function () {
    if (held) { const t = document.createElementNS("http://www.w3.org/2000/svg", "title"); t.textContent = text; held.prepend(t); }
    if (tip) tip.remove();
    tip = held = null;
  };
  const show = function (event) {
    const left = Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8);
    const top = event.clientY + 18 + tip.offsetHeight > innerHeight ? event.clientY - tip.offsetHeight - 10 : event.clientY + 18;
    tip.style.left = Math.max(left, 4) + "px"; tip.style.top = top + "px";
  };
  const told = function (words) {
    if (!tip) { tip = document.createElement("div"); tip.id = "tip"; document.body.append(tip); }
    tip.textContent = words;
  };
  const digits = function (value) { return value.toLocaleString("en", { maximumSignificantDigits: 4, useGrouping: Math.abs(value) >= 1e4 }).replace(/,/g, "\u202f").replace("-", "\u2212"); };
  const instant = function (x, kind, span) {
    if (kind !== "calendar") return digits(x) + " " + kind;
    const text = new Date(x * 1000).toISOString().replace("T", " ");
    return span < 60 ? text.slice(0, 23) : span < 7200 ? text.slice(0, 19) : text.slice(0, 16);
  };
  /* The values that lines of a chart have where the pointer is, read off the lines themselves. */
  const values = function (chart, event) {
    const a = chart.dataset.axes.split(" ").map(Number);
    const box = chart.getBoundingClientRect();
    const x = (event.clientX - box.left) / box.width * chart.viewBox.baseVal.width;
    if (x < a[2] - 3 || x > a[3] + 3) return "";
    const best = new Map();
    let at = null;
    chart.querySelectorAll("[data-name]").forEach(function (line) {
      const points = line.tagName === "circle" ? [[+line.getAttribute("cx"), +line.getAttribute("cy")]]
        : line.getAttribute("points").trim().split(" ").map(function (p) { return p.split(",").map(Number); });
      points.forEach(function (p) {
        const far = Math.abs(p[0] - x), held = best.get(line.dataset.name);
        if (!held || far < held[0]) best.set(line.dataset.name, [far, p]);
        if (at === null || far < Math.abs(at - x)) at = p[0];
      });
    });
    if (at === null || Math.abs(at - x) > 40) return "";
    const unit = chart.dataset.unit ? "\u00a0" + chart.dataset.unit : "";
    const lines = [instant(a[0] + (at - a[2]) / (a[3] - a[2]) * (a[1] - a[0]), chart.dataset.x, a[1] - a[0])];
    best.forEach(function (held, name) {
      if (Math.abs(held[1][0] - at) < 3) lines.push(name + ": " + digits(a[4] + (held[1][1] - a[6]) / (a[7] - a[6]) * (a[5] - a[4])) + unit);
    });
    return lines.join("\n");
  };
  document.addEventListener("pointermove", function (event) {
    let node = event.target instanceof Element ? event.target : null;
    const chart = node && node.closest("svg[data-axes]");
    if (chart) {
      release();
      const words = values(chart, event);
      if (words) { told(words); show(event); }
      return;
    }
    while (node && node !== held && !(node.ownerSVGElement && node.querySelector(":scope > title"))) {
      node = node.ownerSVGElement ? node.parentElement : null;
    }
    if (node && node.ownerSVGElement && node !== held) {
      release();
      const title = node.querySelector(":scope > title");
      held = node; text = title.textContent; title.remove();
      told(text);
    } else if (!node) { release(); }
    if (tip) show(event);
  });
  document.addEventListener("pointerleave", release);
  /* A link into something that is folded opens it. */
  const reveal = function () {
    const target = document.getElementById(location.hash.slice(1));
    if (!target) return;
    for (let node = target; node; node = node.parentElement) { if (node.tagName === "DETAILS") node.open = true; }
    target.scrollIntoView();
  };
  addEventListener("hashchange", reveal);
  reveal();
  let folded = [], worn = "";
  addEventListener("beforeprint", function () {
    worn = root.dataset.theme || ""; root.dataset.theme = "light";
    folded = Array.from(document.querySelectorAll("details:not([open])"));
    folded.forEach(function (d) { d.open = true; });
  });
  addEventListener("afterprint", function () {
    if (worn) root.dataset.theme = worn; else delete root.dataset.theme;
    folded.forEach(function (d) { d.open = false; });
  });
})();
