"use strict";
(() => {
  // Hovering shows the values of the nearest point of a chart; arrow keys move between points.
  const tip = document.createElement("div");
  tip.className = "tip";
  tip.setAttribute("role", "status");
  document.body.append(tip);
  let current = null;

  function hide() {
    if (current) current.classList.remove("on");
    current = null;
    tip.textContent = "";
  }

  function show(hit, text) {
    if (current === hit) return;
    hide();
    current = hit;
    hit.classList.add("on");
    tip.textContent = text;
    const place = hit.getBoundingClientRect();
    const box = tip.getBoundingClientRect();
    const left = place.left + place.width / 2 - box.width / 2;
    const above = place.top - box.height - 6;
    tip.style.left = `${Math.max(4, Math.min(left, innerWidth - box.width - 4))}px`;
    tip.style.top = `${above < 4 ? place.bottom + 6 : above}px`;
  }

  for (const chart of document.querySelectorAll("svg.chart")) {
    // The browser's own tooltips would cover ours.
    const title = chart.querySelector(":scope > title");
    chart.setAttribute("aria-label", title.textContent);
    chart.removeAttribute("aria-labelledby");
    title.remove();
    const points = [...chart.querySelectorAll(".hit")].map((hit) => {
      const text = hit.firstElementChild.textContent;
      hit.firstElementChild.remove();
      return { hit, text, x: hit.cx.baseVal.value, y: hit.cy.baseVal.value };
    });
    if (!points.length) continue;
    points.sort((a, b) => a.x - b.x || a.y - b.y);
    const reach = chart.viewBox.baseVal.width / 8;
    chart.addEventListener("pointermove", (event) => {
      const matrix = chart.getScreenCTM().inverse();
      const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(matrix);
      let best = null;
      let least = reach * reach;
      for (const point of points) {
        const far = (point.x - at.x) ** 2 + 0.25 * (point.y - at.y) ** 2;
        if (far < least) [best, least] = [point, far];
      }
      if (best) show(best.hit, best.text);
      else hide();
    });
    chart.addEventListener("pointerleave", hide);
    chart.setAttribute("tabindex", "0");
    chart.addEventListener("blur", hide);
    chart.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (event.key === "Escape") hide();
      if (!step) return;
      event.preventDefault();
      const found = points.findIndex((point) => point.hit === current);
      const next = found < 0 ? (step > 0 ? 0 : points.length - 1) : found + step;
      const point = points[Math.max(0, Math.min(next, points.length - 1))];
      show(point.hit, point.text);
    });
  }
  addEventListener("scroll", hide, { passive: true });

  // Sorting: every heading of a table becomes a button.
  function key(row, index) {
    const cell = row.cells[index];
    if (cell.dataset.sort === undefined) return cell.textContent;
    return cell.dataset.sort === "" ? null : Number(cell.dataset.sort);
  }

  function compare(a, b) {
    if (a === null || b === null) return 0;
    if (typeof a === "number" && typeof b === "number") return a - b;
    return String(a).localeCompare(String(b), "en", { numeric: true });
  }

  function sort(table, head) {
    const heads = [...table.tHead.rows[0].cells];
    const numeric = head.classList.contains("number");
    const was = head.getAttribute("aria-sort");
    const down = was ? was === "ascending" : numeric;
    for (const each of heads) each.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const body = table.tBodies[0];
    const rows = [...body.rows].map((row) => ({ row, value: key(row, head.cellIndex) }));
    const missing = (each) => (each.value === null ? 1 : 0);
    rows.sort((a, b) => missing(a) - missing(b) || (down ? -1 : 1) * compare(a.value, b.value));
    body.append(...rows.map((each) => each.row));
  }

  for (const table of document.querySelectorAll("table.sortable")) {
    for (const head of table.tHead.rows[0].cells) {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => sort(table, head));
    }
  }

  // Filtering: a field above the table, and how many rows are left.
  let fields = 0;
  for (const table of document.querySelectorAll("table[data-filter]")) {
    const line = document.createElement("div");
    const label = document.createElement("label");
    const field = document.createElement("input");
    const count = document.createElement("output");
    line.className = "filter";
    field.type = "search";
    field.id = `filter-${fields}`;
    fields += 1;
    label.htmlFor = field.id;
    label.textContent = table.dataset.filter;
    line.append(label, field, count);
    table.parentElement.before(line);
    const rows = [...table.tBodies[0].rows];
    field.addEventListener("input", () => {
      const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
      let left = 0;
      for (const row of rows) {
        const text = row.textContent.toLowerCase();
        row.hidden = !words.every((word) => text.includes(word));
        if (!row.hidden) left += 1;
      }
      count.textContent = words.length ? `${left} of ${rows.length} rows` : "";
    });
  }

  // In print, all details are open.
  let opened = [];
  addEventListener("beforeprint", () => {
    opened = [...document.querySelectorAll("details:not([open])")];
    for (const each of opened) each.open = true;
  });
  addEventListener("afterprint", () => {
    for (const each of opened) each.open = false;
    opened = [];
  });
})();
