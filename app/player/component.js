// Streamlit calls this on every run of the script; the player stays as it is unless another run is to be shown.
export default function (component) {
  const { data, parentElement, setStateValue } = component;
  const held = parentElement.roadlens;
  if (held && held.token === data.token) {
    if (held.jumped !== data.jump_count) {
      held.jumped = data.jump_count;
      held.player.jump(data.jump_s);
    }
    return;
  }
  if (held) held.player.stop();
  const player = mount(parentElement, data, (id) => setStateValue("followed", id));
  parentElement.roadlens = { token: data.token, jumped: data.jump_count, player };
}
