"use strict";
(function () {
  const root = document.documentElement;
  const button = document.getElementById("theme");
  if (button) button.addEventListener("click", function () {
    const dark = root.dataset.theme
      ? root.dataset.theme === "dark"
      : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
  });

  const toc = document.getElementById("toc");
  document.querySelectorAll("main section[id] > h2").forEach(function (heading) {
    const item = document.createElement("li");
    const link = document.createElement("a");
    link.href = "#" + heading.parentElement.id;
    link.textContent = heading.textContent;
    item.append(link);
    toc.append(item);
  });

  const compare = function (a, b) {
    if (a === "" || b === "") return (a === "") - (b === "");
    const x = Number(a), y = Number(b);
    return Number.isNaN(x) || Number.isNaN(y) ? a.localeCompare(b, "en", { numeric: true }) : x - y;
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
    const box = table.closest(".tablebox").querySelector(".filter");
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
  document.addEventListener("pointermove", function (event) {
    let node = event.target instanceof Element ? event.target : null;
    while (node && node !== held && !(node.ownerSVGElement && node.querySelector(":scope > title"))) {
      node = node.ownerSVGElement ? node.parentElement : null;
    }
    if (node && node.ownerSVGElement && node !== held) {
      release();
      const title = node.querySelector(":scope > title");
      held = node; text = title.textContent; title.remove();
      tip = document.createElement("div");
      tip.id = "tip"; tip.textContent = text;
      document.body.append(tip);
    } else if (!node) { release(); }
    if (tip) {
      const left = Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8);
      const top = event.clientY + 18 + tip.offsetHeight > innerHeight ? event.clientY - tip.offsetHeight - 10 : event.clientY + 18;
      tip.style.left = left + "px"; tip.style.top = top + "px";
    }
  });
  document.addEventListener("pointerleave", release);
  addEventListener("beforeprint", function () {
    document.querySelectorAll("details").forEach(function (d) { d.open = true; });
  });
})();
