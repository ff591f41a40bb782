// Streamlit calls this on every run of the script; the player stays as it is unless another run is to be shown.
// data: { src, records, token, jump_s, jump_count }; what is to be drawn is read from `records`. Answers "followed".
export default function (component) {
  const { data, parentElement, setStateValue } = component;
  const held = parentElement.roadlens;
  if (held && held.token === data.token) {
    if (held.jumped !== data.jump_count) {
      held.jumped = data.jump_count;
      if (held.player) held.player.jump(data.jump_s);
    }
    return;
  }
  if (held && held.player) held.player.stop();
  const mine = { token: data.token, jumped: data.jump_count, player: null };
  parentElement.roadlens = mine;
  const words = parentElement.querySelector(".rl-facts");
  words.textContent = "reading the records";
  fetch(data.records)
    .then((answer) => (answer.ok ? answer.json() : Promise.reject(new Error(`the server says ${answer.status}`))))
    .then((run) => {
      if (parentElement.roadlens !== mine) return; // another run was chosen meanwhile
      mine.player = mount(parentElement, { ...run, src: data.src }, (id) => setStateValue("followed", id));
    })
    .catch((error) => { words.textContent = `the records cannot be read: ${error.message}`; });
}
