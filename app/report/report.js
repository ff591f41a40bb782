// A click on a time, or into a plot, shows that moment in the player (or in the plain video, where there is no player).
document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-t]"), plot = event.target.closest(".plot svg");
  const video = document.querySelector("video");
  let t = button ? Number(button.dataset.t) : NaN;
  if (plot) {
    const { from, to, left, right } = plot.dataset, width = plot.viewBox.baseVal.width;
    const box = plot.getBoundingClientRect();
    const share = ((event.clientX - box.left) / box.width * width - left) / (width - left - right);
    t = Number(from) + Math.min(Math.max(share, 0), 1) * (to - from);
  }
  if (Number.isNaN(t) || !video) return;
  if (globalThis.roadlensPlayer) roadlensPlayer.jump(t); else video.currentTime = t - Number(video.dataset.from || 0);
  if (button) video.scrollIntoView({ behavior: "smooth", block: "center" });
});
