// ipywidgets' html-manager calls MathJax 2; the page has MathJax 3.
if (window.MathJax && !window.MathJax.Hub) {
  window.MathJax.Hub = { Queue: (job) => window.MathJax.typesetPromise?.([job[2]]) };
}
