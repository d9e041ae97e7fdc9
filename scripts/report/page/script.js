"use strict";

// Tables: a button in each heading sorts, a field hides the rows without its text.
for (const box of document.querySelectorAll("[data-table]")) {
  const table = box.querySelector("table");
  const body = table.tBodies[0];
  const rows = [...body.rows];
  const [field, select, status] = ["input", "select", "[role=status]"].map((name) => box.querySelector(".tools " + name));
  const headings = [...table.querySelectorAll("th[data-column]")];

  const value = (row, column) => {
    const cell = row.cells[column];
    const parts = column ? [cell.firstChild, ...cell.querySelectorAll("small")] : [cell];
    const text = (parts[column && select ? Number(select.value) : 0]?.textContent ?? "").trim();
    const number = Number(text.replace("−", "-"));
    return text === "" || text === "–" ? null : column && !Number.isNaN(number) ? number : text;
  };
  const compare = (a, b) =>
    typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), "en", { numeric: true });
  const sort = (heading, direction) => {
    const column = Number(heading.dataset.column);
    const sign = direction === "ascending" ? 1 : -1;
    const sorted = rows.map((row) => [value(row, column), row]).sort(([a], [b]) =>
      a === null || b === null ? (a === null) - (b === null) : sign * compare(a, b));
    body.append(...sorted.map(([, row]) => row));
    for (const other of headings) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", direction);
  };
  for (const heading of headings) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...heading.childNodes);
    heading.append(button);
    button.addEventListener("click", () =>
      sort(heading, heading.getAttribute("aria-sort") === "ascending" ? "descending" : "ascending"));
  }
  select?.addEventListener("change", () => {
    const heading = headings.find((other) => other.hasAttribute("aria-sort"));
    if (heading) sort(heading, heading.getAttribute("aria-sort"));
  });

  const filter = () => {
    const wanted = field.value.trim().toLowerCase();
    for (const row of rows) row.hidden = !row.cells[0].textContent.toLowerCase().includes(wanted);
    const left = rows.filter((row) => !row.hidden).length;
    status.textContent = wanted ? `${left} of ${rows.length} rows` : "";
  };
  field.addEventListener("input", filter);
  box.querySelector(".tools").hidden = rows.length < 2;
}

// Pictures: the slider of a plane changes all its panels.
for (const plane of document.querySelectorAll(".plane")) {
  const slider = plane.querySelector("input[type=range]");
  if (!slider) continue;
  const { numbers, layers } = JSON.parse(plane.querySelector("script").textContent);
  const output = plane.querySelector("output");
  const show = () => {
    const place = Number(slider.value);
    const text = `${numbers[place] + 1} of ${plane.dataset.total}`;
    for (const panel of plane.querySelectorAll(".panel")) {
      const [image, layer] = panel.querySelectorAll("img");
      image.src = layers.image[place];
      layer.src = layers[layer.dataset.layer][place];
      image.alt = `${plane.dataset.name}, ${plane.dataset.plane} slice ${text}: ` +
        `${panel.querySelector("p").textContent.toLowerCase()} over the image`;
    }
    output.textContent = text;
    slider.setAttribute("aria-valuetext", text);
  };
  slider.addEventListener("input", show);
  slider.value = slider.defaultValue; // a browser that keeps values over a reload would show another slice
  slider.hidden = false;
}

// Charts: the point under the pointer, or chosen by the arrow keys, is told below.
for (const svg of document.querySelectorAll("[data-chart]")) {
  const marks = [...svg.querySelectorAll(".mark")];
  const reading = svg.parentElement.querySelector(".reading");
  const description = reading.textContent;
  let here = -1;
  const choose = (number) => {
    marks[here]?.classList.remove("here");
    here = number;
    marks[here]?.classList.add("here");
    reading.textContent = marks[here]?.dataset.text ?? description;
  };
  svg.tabIndex = 0;
  svg.addEventListener("keydown", (event) => {
    const last = marks.length - 1;
    const places = { ArrowRight: Math.min(here + 1, last), ArrowLeft: Math.max(here - 1, 0), Home: 0, End: last, Escape: -1 };
    if (event.key in places) {
      event.preventDefault();
      choose(places[event.key]);
    }
  });
  svg.addEventListener("pointermove", (event) => {
    const box = svg.getBoundingClientRect();
    const [x, y] = [event.clientX - box.left, event.clientY - box.top].map((place) => (place * 460) / box.width);
    const joined = svg.querySelector(".curve");
    const far = (mark) => Math.hypot(mark.cx.baseVal.value - x, joined ? 0 : mark.cy.baseVal.value - y);
    choose(marks.reduce((best, mark, number) => (far(mark) < far(marks[best]) ? number : best), 0));
  });
  svg.addEventListener("pointerleave", () => choose(-1));
  svg.addEventListener("blur", () => choose(-1));
}
