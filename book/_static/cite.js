// A button next to everything that has a permanent id; it copies a citation in plain text.
document.addEventListener("DOMContentLoaded", () => {
  const data = document.getElementById("memslots-cite");
  if (!data || !navigator.clipboard) return;
  for (const [fragment, { id, text }] of Object.entries(JSON.parse(data.textContent))) {
    const place = document.getElementById(fragment);
    const block = place?.matches("span") ? (place.closest("section, figure, table") ?? place) : place;
    const heading = block?.querySelector("h1, h2, h3, h4, .admonition-title, figcaption, caption");
    if (!heading || heading.querySelector(".memslots-cite")) continue;
    const button = document.createElement("button");
    Object.assign(button, { type: "button", className: "memslots-cite", textContent: "cite", title: text });
    button.setAttribute("aria-label", `Copy a citation of ${id}`);
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(text);
      button.textContent = "copied";
      setTimeout(() => (button.textContent = "cite"), 1500);
    });
    heading.append(" ", button);
  }
});
