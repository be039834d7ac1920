"""The page is quick in a real browser: an answer within a frame, a step in a tenth of a second.

What is asserted is the fastest of some: the machine may be busy with something else.
"""

import pytest

TIMED = """
(async () => {
  const [{ load }, { Network }, { Trainer }, { vectorProduct }] = await Promise.all(
    ["content", "network", "training", "products_wasm"].map(
      (name) => import(`handgrad-page/${name}`)));
  const { content, arrays } = await load(document);
  const network = new Network(content.network, arrays);
  const each = network.inputShape.reduce((product, size) => product * size, 1);
  const X = Float32Array.from({ length: 20 * each }, (_, i) => Math.sin(i));
  const trainer = new Trainer(network, X, Array.from({ length: 20 }, (_, n) => n % 10));
  const fastest = (limit, call) => {
    let least = Infinity;
    for (let i = 0; i < 10 || (least >= limit && i < 100); i++) {
      const start = performance.now();
      call();
      least = Math.min(least, performance.now() - start);
    }
    return least;
  };
  return {
    vectors: vectorProduct() !== null,
    answer: fastest(16, () => network.forward(X.subarray(0, each))),
    step: fastest(100, () => trainer.step()),
  };
})()
"""


@pytest.mark.parametrize("name", ["5.4", "4.4"])
def test_an_answer_and_a_step_are_quick(browser, shown, name):
    """Milliseconds; and the page's policy lets it use vectors."""
    with browser.page() as tab:
        tab.go(shown(name)[0])
        tab.wait("document.querySelector('#page:not([hidden])')")
        took = tab.ask(TIMED)
    assert took["vectors"]
    assert took["answer"] < 16
    assert took["step"] < 100
