// Draws every chart of the page from the specification that stands next to it.
window.vegaEmbed = vegaEmbed; // ipywidgets and the reader's console find it here
const options = {
  actions: { export: true, source: false, compiled: false, editor: false },
  renderer: "svg",
};
for (const place of document.querySelectorAll("div.memslots-chart")) {
  const spec = JSON.parse(place.querySelector("script[type='application/json']").textContent);
  vegaEmbed(place, spec, options)
    .then(({ view }) => {
      place.view = view;
      place.querySelector("summary")?.setAttribute("aria-label", "Save this chart as a picture");
      // A wide chart scrolls in its place; focusable, so that a keyboard can scroll it too.
      if (place.scrollWidth > place.clientWidth) place.tabIndex = 0;
      place.dataset.drawn = "yes";
    })
    .catch((error) => {
      place.dataset.failed = String(error);
      place.append(`This chart could not be drawn: ${error}`);
    });
}
