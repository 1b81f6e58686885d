"use strict";
// Only the fields of the chosen kind of schedule are shown. Without JavaScript all are.
const type = document.querySelector("select[name=schedule_type]");
if (type) {
  const show = () => {
    for (const part of document.querySelectorAll("[data-for]")) {
      part.hidden = !part.dataset.for.split(" ").includes(type.value);
    }
  };
  type.addEventListener("change", show);
  show();
}
// Lists and logs are fetched again while they are looked at.
if ("live" in document.body.dataset) {
  setInterval(async () => {
    if (document.hidden || document.activeElement?.closest("main")) return;
    try {
      const answer = await fetch(location.href);
      if (!answer.ok || answer.redirected) return;
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      document.querySelector("main").replaceWith(page.querySelector("main"));
    } catch { /* the server may be restarting: the next try is soon */ }
  }, 2000);
}
