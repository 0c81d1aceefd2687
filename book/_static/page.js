document.addEventListener("DOMContentLoaded", () => {
  // The theme names these otherwise than what they show; a voice user can say only what is shown.
  const misnamed = ".search-button-field, summary[aria-label='Toggle hidden content']";
  for (const one of document.querySelectorAll(misnamed)) one.removeAttribute("aria-label");

  // A button next to everything that has a permanent id; it copies a citation in plain text.
  const data = document.getElementById("memslots-cite");
  if (!data || !navigator.clipboard) return;
  for (const [fragment, { id, text }] of Object.entries(JSON.parse(data.textContent))) {
    const place = document.getElementById(fragment);
    const around = place?.matches("span") && place.closest("section, figure, table");
    const block = around || place;
    const heading = block?.querySelector("h1, h2, h3, h4, .admonition-title, figcaption, caption");
    if (!heading || heading.querySelector(".memslots-cite")) continue;
    const button = document.createElement("button");
    Object.assign(button, { type: "button", className: "memslots-cite", title: text });
    const word = document.createTextNode("cite");
    const whose = Object.assign(document.createElement("span"), { textContent: ` ${id}` });
    button.append(word, whose); // only a screen reader needs the id: the heading stands next to it
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(text);
      word.data = "copied";
      setTimeout(() => (word.data = "cite"), 1500);
    });
    (heading.querySelector(":scope > p") ?? heading).append(" ", button);
  }
});
