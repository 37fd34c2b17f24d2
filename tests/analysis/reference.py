"""Reference values for tests/analysis, tests/routing and tests/hs, from numpy, scipy and torch.

    python tests/analysis/reference.py > tests/analysis/reference.json && npx biome format --write tests/analysis/reference.json

Needs numpy, scipy, scikit-learn, statsmodels and torch (made with numpy 2.4.6, scipy 1.17.1, scikit-learn 1.9.1, statsmodels 0.15.0, torch 2.13.0). Inputs are in the output, so the
tests need none of them. JSON has no infinities: they are the strings "inf", "-inf" and "nan".
"""

import itertools
import json
import math
import sys

import numpy as np
import statsmodels.api as sm
import torch
from scipy import optimize, special, stats
from scipy.cluster import hierarchy
from scipy.spatial import distance
from sklearn.linear_model import RidgeClassifier
from sklearn.metrics import mutual_info_score, silhouette_score
from sklearn.metrics.cluster import contingency_matrix, expected_mutual_information
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

rng = np.random.default_rng(20240828)


def plain(x):
    if isinstance(x, torch.Tensor):
        x = x.tolist()
    if isinstance(x, np.ndarray):
        x = x.tolist()
    if isinstance(x, dict):
        return {str(k): plain(v) for k, v in x.items()}
    if isinstance(x, (list, tuple)):
        return [plain(v) for v in x]
    if isinstance(x, (float, np.floating)):
        x = float(x)
        return x if math.isfinite(x) else ("nan" if math.isnan(x) else "inf" if x > 0 else "-inf")
    if isinstance(x, np.integer):
        return int(x)
    return x


def softmax_cases():
    inf, nan = math.inf, math.nan
    rows = [
        [0.0, 1.0, 2.0, 3.0],
        [5.0, 5.0, 5.0, 5.0],
        [1e4, 1e4 - 1, -1e4, 3e38],
        [-inf, 0.0, 1.0, -inf],
        [-inf, -inf, -inf, -inf],
        [inf, 0.0, 1.0, 2.0],
        [nan, 0.0, 1.0, 2.0],
        [-1e-30, 1e-30, 0.0, -0.0],
        *rng.normal(0, 4, (8, 4)).astype(np.float32).tolist(),
    ]
    logits = torch.tensor(rows, dtype=torch.float32)
    return {"input": logits, "output": torch.softmax(logits, dim=-1)}


def topk_cases():
    inf, nan = math.inf, math.nan
    rows = [
        [3.0, 1.0, 2.0, 3.0, 0.0],
        [1.0, 1.0, 1.0, 1.0, 1.0],
        [-inf, inf, 0.0, inf, -inf],
        [-inf, -inf, -inf, -inf, -inf],
        [0.0, nan, inf, 1.0, nan],
        [3e38, -3e38, 1e-40, 0.0, 3e38],
        *rng.normal(0, 4, (6, 5)).astype(np.float32).tolist(),
    ]
    x = torch.tensor(rows, dtype=torch.float32)
    cases = []
    for k in (1, 2, 5):
        # torch.topk leaves the order of ties open; the stable sort is one of its permitted answers.
        values, indices = torch.sort(x, dim=-1, descending=True, stable=True)
        torch.testing.assert_close(torch.topk(x, k, dim=-1).values, values[:, :k], equal_nan=True)
        cases.append({"k": k, "values": values[:, :k], "indices": indices[:, :k]})
    return {"input": x, "cases": cases}


def analyze_expert_usage(router_logits, top_k=2, token_range=None, normalize=False):
    """What EasySteer's easysteer/hidden_states/moe_capture.py computes (commit 396dd78), step by step."""
    out = {"expert_selection": {}, "expert_weights": {}, "expert_usage_counts": {}, "load_balance": {}}
    analyzed = 0
    for layer, logits in router_logits.items():
        if token_range is not None:
            start, end = token_range
            logits = logits[(0 if start is None else start) : (logits.shape[0] if end is None else end)]
        analyzed = analyzed or logits.shape[0]
        weights, ids = torch.topk(torch.softmax(logits, dim=-1), k=top_k, dim=-1)
        counts = torch.bincount(ids.flatten(), minlength=logits.shape[-1]).float()
        if normalize and analyzed > 0:
            counts = counts / analyzed
        out["expert_selection"][layer] = ids
        out["expert_weights"][layer] = weights
        out["expert_usage_counts"][layer] = counts.tolist()
        out["load_balance"][layer] = (counts.std() / (counts.mean() + 1e-8)).item()
    return out | {"num_tokens_analyzed": analyzed}


def analyze_cases():
    layers = {layer: torch.from_numpy(rng.normal(0, 2, (20, 8)).astype(np.float32)) for layer in (1, 3)}
    options = [
        {},
        {"top_k": 3, "normalize": True},
        {"top_k": 1, "token_range": [0, 7]},
        {"token_range": [5, None], "normalize": True},
        {"token_range": [None, -4]},
        {"token_range": [-6, 100], "top_k": 8},
        {"token_range": [9, 3]},
    ]
    return {"input": layers, "cases": [{"options": o, "output": analyze_expert_usage(layers, **o)} for o in options]}


def route(logits, gating, top_k, bias):
    """llama.cpp's build_moe_ffn, in torch."""
    score = gating["score"]
    probs = {
        "softmax": lambda x: torch.softmax(x, -1),
        "softmax_topk": lambda x: x,
        "sigmoid": torch.sigmoid,
        "sqrt_softplus": lambda x: torch.sqrt(torch.nn.functional.softplus(x)),
    }[score](logits)
    ranking = {"scores": probs, "logits": logits, "sigmoid": torch.sigmoid(logits)}[gating["chosenBy"]]
    if bias is not None:
        ranking = ranking + bias
    if gating["groups"]:
        groups = ranking.reshape(len(logits), gating["groups"]["count"], -1)
        best = groups.topk(gating["groups"]["best"], dim=-1).values.sum(-1).topk(gating["groups"]["used"], dim=-1).indices
        keep = torch.zeros(groups.shape[:2], dtype=torch.bool).scatter(1, best, True)
        ranking = groups.masked_fill(~keep[..., None], -math.inf).reshape(logits.shape)
    ids = ranking.topk(top_k, dim=-1).indices
    own = probs.gather(1, ids).softmax(-1) if score == "softmax_topk" else probs
    order = ranking.sort(dim=-1, descending=True).values
    gate = {"gateEntropy": stats.entropy(own.double().numpy(), axis=1), "gateMargin": order[:, top_k - 1] - order[:, top_k]}
    weights = probs.gather(1, ids)
    if score == "softmax_topk":
        weights = torch.softmax(weights, -1)
    if gating["normalize"]:
        weights = weights / weights.sum(-1, keepdim=True).clamp(min=6.103515625e-5)
    if gating["scale"] not in (0, 1):
        weights = weights * gating["scale"]
    return {"ids": ids, "weights": weights, **gate}


def route_cases():
    logits = torch.from_numpy(rng.normal(0, 3, (16, 16)).astype(np.float32))
    bias = torch.from_numpy(rng.normal(0, 0.3, 16).astype(np.float32))
    plain_gating = {
        **{"chosenBy": "scores", "normalize": True, "scale": 1},
        **{"selectionBias": False, "groups": None, "weighted": "outputs"},
    }
    llama4 = {**plain_gating, "score": "sigmoid", "chosenBy": "logits", "normalize": False, "weighted": "inputs"}
    gatings = [
        ("qwen3moe", {**plain_gating, "score": "softmax"}, 4, logits),
        ("olmoe", {**plain_gating, "score": "softmax", "normalize": False}, 8, logits),
        ("gpt-oss", {**plain_gating, "score": "softmax_topk", "normalize": False}, 4, logits),
        ("llama4", llama4, 1, logits),
        ("llama4, sigmoids of 1 alike", llama4, 2, logits + 30),
        ("grovemoe", {**plain_gating, "score": "softmax", "chosenBy": "sigmoid"}, 3, logits),
        ("glm4moe", {**plain_gating, "score": "sigmoid", "selectionBias": True, "scale": 2.5}, 4, logits),
        (
            "deepseek-v3",
            {**plain_gating, "score": "sigmoid", "selectionBias": True, "scale": 2.5, "groups": {"count": 4, "used": 2, "best": 2}},
            4,
            logits,
        ),
        ("deepseek-v2", {**plain_gating, "score": "softmax", "groups": {"count": 4, "used": 1, "best": 1}}, 3, logits),
        ("sqrt_softplus", {**plain_gating, "score": "sqrt_softplus", "selectionBias": True, "scale": 1.5}, 3, logits * 10),
        ("vanishing sigmoid", {**plain_gating, "score": "sigmoid"}, 2, logits - 30),
    ]
    return [
        {
            "name": name,
            "gating": gating,
            "topK": k,
            "logits": x,
            "bias": bias if gating["selectionBias"] else None,
            **route(x, gating, k, bias if gating["selectionBias"] else None),
        }
        for name, gating, k, x in gatings
    ]


def mutual_information(table):
    """Bits, from a contingency table of counts."""
    p = np.asarray(table, float) / np.sum(table)
    return stats.entropy(p.sum(0), base=2) + stats.entropy(p.sum(1), base=2) - stats.entropy(p.ravel(), base=2)


def capture_case():
    """Twelve labelled samples through one layer of 8 experts, top-2."""
    experts, k = 8, 2
    labels = ["math", "code", "prose"] * 4
    lengths = rng.integers(3, 10, len(labels))
    drift = {label: rng.normal(0, 1.2, experts) for label in sorted(set(labels))}
    logits = np.concatenate(
        [rng.normal(0, 1, (n, experts)) + drift[label] for label, n in zip(labels, lengths)]
    ).astype(np.float32)
    logits[:, 6] -= 30  # a dead expert
    sample = np.repeat(np.arange(len(labels)), lengths)
    order = np.argsort(-logits, axis=1, kind="stable")
    ids = order[:, :k]
    used = np.zeros(logits.shape)
    np.put_along_axis(used, ids, 1, axis=1)
    rows = len(used)
    probs = torch.softmax(torch.from_numpy(logits).double(), -1).numpy()
    weights = np.take_along_axis(probs, ids, 1)
    weights /= weights.sum(1, keepdims=True)
    names = ["math", "code", "prose"]
    of_label = {name: np.array([labels[s] == name for s in sample]) for name in names}
    by_label = {name: used[m].sum(0) for name, m in of_label.items()}
    weight_sums = np.bincount(ids.ravel(), weights.ravel(), minlength=experts)
    counts = used.sum(0)
    sorted_logits = -np.sort(-logits.astype(float), axis=1)
    pairs = used.T @ used
    off = ~np.eye(experts, dtype=bool)
    with np.errstate(divide="ignore", invalid="ignore"):
        lift = np.where(off, pairs / (rows * pair_chances(counts / rows, k)), np.nan)
    information = [
        mutual_information([[used[m, e].sum(), m.sum() - used[m, e].sum()] for m in of_label.values()])
        for e in range(experts)
    ]
    return {
        "experts": experts,
        "topK": k,
        "labels": labels,
        "lengths": lengths,
        "logits": logits,
        "ids": ids,
        "counts": counts,
        "weights": weight_sums,
        "byLabel": {name: {"rows": of_label[name].sum(), "counts": by_label[name]} for name in names},
        "cv": counts.std(ddof=1) / counts.mean(),
        "maxVio": counts.max() / counts.mean() - 1,
        "entropy": stats.entropy(counts) / math.log(experts),
        "rowEntropy": stats.entropy(probs, axis=1),
        "rowMargin": sorted_logits[:, k - 1] - sorted_logits[:, k],
        "information": information,
        "choiceInformation": mutual_information(np.array([by_label[name] for name in names])),
        "pairs": pairs,
        "lift": lift,
    }


def wilson_cases():
    cases = [(0, 40), (3, 40), (40, 40), (17, 1000), (1, 3)]
    return [
        {"count": c, "rows": n, "confidence": conf, "interval": list(stats.binomtest(c, n).proportion_ci(conf, "wilson"))}
        for c, n in cases
        for conf in (0.5, 0.95, 0.999)
    ]


def exact_permutation_case():
    """Ten samples, two labels: all 252 relabelings, against which random permutations are compared."""
    lengths = np.array([4, 7, 5, 6, 3, 8, 5, 4, 6, 7])
    used = np.array([3, 4, 4, 1, 2, 2, 1, 2, 1, 3])
    label = np.array([0] * 5 + [1] * 5)
    # Positions that both labels have, and what is expected there.
    matched = min(lengths[label == side].max() for side in (0, 1))
    at = np.arange(matched)
    has = at < lengths[:, None]
    uses = at < used[:, None]
    expected = uses.sum(0) / has.sum(0)
    rows = has.sum(1)
    residual = uses.sum(1) - has @ expected
    share = uses.sum() / has.sum()

    def ratio(which):
        """Of a group's residuals and rows; its variance is that of a mean-only model, clustered by sample."""
        mean = residual[which].sum() / rows[which].sum()
        k = len(which)
        return mean, k / (k - 1) * ((residual[which] - mean * rows[which]) ** 2).sum() / rows[which].sum() ** 2

    def statistic(which):
        which = which.astype(int)
        rest = np.setdiff1d(np.arange(10), which)
        (m, v), (others, variance) = ratio(which), ratio(rest)
        least = share * (1 - share) * (1 / rows[which].sum() + 1 / rows[rest].sum())
        return (m - others) / math.sqrt(max(v + variance, least))

    def exact(of):
        result = stats.permutation_test(
            (np.arange(5), np.arange(5, 10)),
            lambda x, y: of(x),
            permutation_type="independent",
            n_resamples=np.inf,
            alternative="greater",
        )
        return result.pvalue

    first = np.arange(5)
    (m, v), (others, variance) = ratio(first), ratio(first + 5)
    every = sorted((statistic(np.array(of)) ** 2 for of in itertools.combinations(range(10), 5)), reverse=True)
    # What is above has p <= 0.05.
    half = math.sqrt(every[math.floor(0.05 * len(every))]) * (m - others) / statistic(first)
    return {
        "lengths": lengths,
        "used": used,
        "label": label,
        "matchedRows": rows.sum(),
        "difference": m - others,
        "halfWidth": half,
        "clustered": clustered_variance(uses, has, expected, first),
        "variance": v,
        "shareP": exact(statistic),
        "expertP": exact(lambda which: abs(statistic(which))),
    }


def clustered_variance(uses, has, expected, which):
    """The variance of a group's mean residual by statsmodels: least squares of a constant, clustered by sample."""
    row_sample, row_at = np.nonzero(has[which])
    values = (uses[which] - expected)[row_sample, row_at]
    fit = sm.OLS(values, np.ones(len(values))).fit(cov_type="cluster", cov_kwds={"groups": row_sample})
    return fit.cov_params()[0, 0]


def student_cases():
    degrees = [1, 2, 3, 7, 29, 63, 1000]
    return [{"degrees": d, "p": p, "quantile": stats.t.ppf(p, d)} for d in degrees for p in (0.6, 0.95, 0.975, 0.9995)]


def comparison_case():
    """Eight samples through one layer of 6 experts, top-2, by a model and by a disturbed copy of it."""
    experts, k = 6, 2
    lengths = rng.integers(3, 9, 8)
    a = rng.normal(0, 2, (lengths.sum(), experts)).astype(np.float32)
    b = (a + rng.normal(0, 0.7, a.shape) + np.array([1.5, 0, 0, -1, 0, 0])).astype(np.float32)
    b[:3] = a[:3]
    p, q = (torch.softmax(torch.from_numpy(x).double(), -1).numpy() for x in (a, b))
    ids_a, ids_b = (np.argsort(-x, axis=1, kind="stable")[:, :k] for x in (a, b))
    shared = np.array([len(np.intersect1d(x, y)) for x, y in zip(ids_a, ids_b)])
    sample = np.repeat(np.arange(len(lengths)), lengths)

    def uses(ids):
        return np.array([np.bincount(ids[sample == s].ravel(), minlength=experts) for s in range(len(lengths))])

    test = stats.permutation_test(
        (uses(ids_a), uses(ids_b)),
        lambda x, y, axis: np.sum(y - x, axis=axis),
        permutation_type="samples",
        n_resamples=np.inf,
        vectorized=True,
        axis=0,
    )
    return {
        "experts": experts,
        "topK": k,
        "lengths": lengths,
        "a": a,
        "b": b,
        "kl": stats.entropy(p, q, axis=1),
        "js": distance.jensenshannon(p, q, axis=1) ** 2,
        "overlap": shared / k,
        "exact": np.mean(shared == k),
        "top1": np.mean(ids_a[:, 0] == ids_b[:, 0]),
        "shareA": uses(ids_a).sum(0) / len(a),
        "shareB": uses(ids_b).sum(0) / len(a),
        "p": test.pvalue,
        **shifts(uses(ids_b) - uses(ids_a), lengths),
    }


def shifts(d, rows):
    """Differences of samples [samples, experts]: q over all ways of flipping them, and half of 95 % intervals."""
    ways = np.array(list(itertools.product((1, -1), repeat=len(d))))
    squares = (ways @ d) ** 2 / (d**2).sum(0)
    critical = -np.sort(-squares, axis=0)[math.floor(0.05 * len(ways))]
    return {
        "q": [np.mean(squares.max(1) >= value - 1e-9) for value in squares[0]],
        "halfWidth": np.sqrt(critical * (d**2).sum(0)) / rows.sum(),
    }


def clustering(distances, most):
    """Average linkage, and its cuts into 2 to `most` clusters with their silhouettes."""
    tree = hierarchy.linkage(distance.squareform(distances), "average")
    cuts = [hierarchy.fcluster(tree, k, "maxclust") for k in range(2, most + 1)]
    return {
        "merges": tree,
        "leaves": hierarchy.leaves_list(tree),
        "cuts": cuts,
        "silhouettes": [silhouette_score(distances, cut, metric="precomputed") for cut in cuts],
    }


def clusters_case():
    points = np.concatenate([rng.normal(c, 1, (5, 3)) for c in (0, 4, -5)])
    distances = distance.squareform(distance.pdist(points))
    return {"distances": distances, **clustering(distances, 6)}


def ridge_case():
    y = rng.integers(0, 4, 120)
    x = rng.normal(0, 1, (120, 6)) * [1, 10, 0.1, 1, 1, 1] + rng.normal(0, 1, (4, 6))[y] + 5
    x[:, 5] = 3  # never changes
    fitted = slice(0, 80)
    model = make_pipeline(StandardScaler(), RidgeClassifier(alpha=1.0)).fit(x[fitted], y[fitted])
    return {"x": x, "y": y, "fitted": 80, "predicted": model.predict(x[80:])}


def information(rows, columns):
    """Bits, from pairs."""
    return mutual_info_score(rows, columns) / math.log(2)


def flip_case():
    """Six texts, two groups in each: differences within texts, and all 64 ways of flipping them."""
    sample = np.repeat(np.arange(6), [6, 8, 5, 7, 9, 6])
    group = np.array([int(c) for c in "00011100101110110011010001111000010110101"])
    expert = np.array([int(c) for c in "00022201202210212200200112022111020220212"])

    def differences(g, e):
        out = []
        for s in range(6):
            of = sample == s
            inside = of & (group == g)
            out.append((expert[inside] == e).sum() - inside.sum() * (expert[of] == e).sum() / of.sum())
        return np.array(out)

    def exact(statistic, columns, alternative):
        test = stats.permutation_test(
            (columns,), statistic, permutation_type="samples", n_resamples=np.inf, alternative=alternative, vectorized=False
        )
        return test.pvalue

    of = [[differences(g, e) for e in range(3)] for g in (0, 1)]
    weight = [sum((group[sample == s] == g).sum() * (group[sample == s] != g).sum() / (sample == s).sum() for s in range(6)) for g in (0, 1)]
    used = [np.bincount(expert[group == g], minlength=3) for g in (0, 1)]
    ways = np.array(list(itertools.product((1, -1), repeat=6)))
    squares = lambda columns: sum((ways @ d) ** 2 / (d**2).sum() for d in columns)
    part = lambda values: np.mean(values >= values[0] - 1e-9)
    signed = np.stack([np.sign(ways @ d) * (ways @ d) ** 2 / (d**2).sum() for g in (0, 1) for d in of[g]], 1)
    maxima = signed.max(1)
    return {
        "sample": sample,
        "group": group,
        "expert": expert,
        "shareP": [[exact(lambda x: x.sum(), d, "greater") for d in of[g]] for g in (0, 1)],
        "shareQ": [np.mean(maxima >= value - 1e-9) for value in signed[0]],
        "groupP": [part(squares(of[g])) for g in (0, 1)],
        "layerP": part(squares(of[0] + of[1])),
        "difference": [[d.sum() / weight[g] for d in of[g]] for g in (0, 1)],
        "information": information(expert, group),
        "js": distance.jensenshannon(used[0], used[1]) ** 2,
    }


def adjusted_information(a, b):
    """Mutual information adjusted by scikit-learn's exact expectation, of Chao and Shen's entropy of b; bits."""
    table = contingency_matrix(a, b)
    n = len(a)
    chance = expected_mutual_information(table, n) / math.log(2)
    counts = np.bincount(b)
    counts = counts[counts > 0]
    p = (1 - min(n - 1, (counts == 1).sum()) / n) * counts / n
    entropy = -np.sum(p * np.log2(p) / (1 - (1 - p) ** n))
    seen = stats.entropy(counts, base=2)
    return {
        "information": (information(a, b) - chance) / (seen - chance) * entropy if chance <= seen / 2 else None,
        "entropy": entropy,
    }


def table_cases():
    """Best experts of two layers: the second is that of the first, renamed, or any. Of the last there are too few rows."""
    own = np.random.default_rng(15)
    cases = []
    for experts, n, keep in [(16, 300, 0.5), (16, 4000, 0.9), (64, 2000, 0.5), (64, 900, 0), (64, 150, 0.5)]:
        a = own.integers(experts, size=n)
        b = np.where(own.random(n) < keep, own.permutation(experts)[a], own.integers(experts, size=n))
        cases.append({"experts": experts, "a": a, "b": b, **adjusted_information(a, b)})
    return cases


def pair_chances(inclusion, k):
    """Of all sets of k different experts as likely as exp of a sum over them, the one that uses each so often."""
    sets = np.array([[e in of for e in range(len(inclusion))] for of in itertools.combinations(range(len(inclusion)), k)], float)
    open_ = (inclusion > 1e-12) & (inclusion < 1 - 1e-12)
    sets = sets[(sets[:, inclusion >= 1 - 1e-12] == 1).all(1) & (sets[:, inclusion <= 1e-12] == 0).all(1)]
    weight = np.zeros(len(inclusion))
    for _ in range(200):
        chance = np.exp(sets @ weight - (sets @ weight).max())
        chance /= chance.sum()
        mean = chance @ sets
        spread = (sets * chance[:, None]).T @ sets - np.outer(mean, mean)
        weight[open_] += np.linalg.lstsq(spread[np.ix_(open_, open_)], (inclusion - mean)[open_], rcond=None)[0]
    return (sets * chance[:, None]).T @ sets


def pair_chance_cases():
    own = np.random.default_rng(16)
    even = own.dirichlet(np.ones(16) * 3)
    cases = [(np.minimum(0.9, 2 * even), 2)]
    cases[0] = (cases[0][0] * 2 / cases[0][0].sum(), 2)
    shares = own.uniform(0.05, 0.6, 8)
    cases.append((shares / shares.sum() * 3, 3))
    cases.append((np.array([1, 0, 0.9, 0.5, 0.3, 0.2, 0.1]), 3))
    cases.append((np.array([0.5, 0.5]), 1))
    return [{"inclusion": of, "size": k, "chances": pair_chances(of, k)} for of, k in cases]


def with_q(layers):
    q = stats.false_discovery_control([test[2] for layer in layers for test in layer["tests"]], method="bh").tolist()
    for layer in layers:
        layer["tests"] = [[*test, q.pop(0)] for test in layer["tests"]]
    return layers


def tokens_with_q(layers, types):
    """Of all types, experts and layers; a type that an expert serves no more than expected has p = 1."""
    every = [of["byLift"].get(t, {}) for layer in layers for of in layer for t in range(types)]
    q = stats.false_discovery_control([of.get("p", 1) for of in every], method="bh")
    for of, value in zip(every, q):
        of["q"] = value
    return layers


def analysis_case():
    """Twelve samples through layers 1 and 2 of a model of 8 experts, top-2, that have something to find."""
    experts, k, width, types = 8, 2, 5, 9
    labels = ["math", "code"] * 6
    lengths = rng.integers(18, 40, len(labels))
    prompts = lengths - rng.integers(4, 10, len(labels))
    sample = np.repeat(np.arange(len(labels)), lengths)
    position = np.concatenate([np.arange(n) for n in lengths])
    rows = len(sample)
    phase = (position >= prompts[sample]).astype(int)
    token = rng.integers(0, types, rows)
    token[:3] = types  # too rare to be ranked
    lean = rng.normal(0, 1.5, (types + 1, experts))
    of_label = rng.normal(0, 0.8, (2, experts))
    late = np.outer(np.log2(position + 1) / 4, rng.normal(0, 0.6, experts))
    hidden = [rng.normal(0, 1, (types + 1, width))[token] + rng.normal(0, 0.7, (rows, width)) for _ in (1, 2)]
    logits = [lean[token] + of_label[sample % 2] + late + rng.normal(0, 0.6, (rows, experts))]
    logits.append(0.6 * logits[0][:, ::-1] + hidden[0] @ rng.normal(0, 1, (width, experts)))
    logits = [x.astype(np.float32) for x in logits]
    hidden = [x.astype(np.float32) for x in hidden]
    logits[0][:, 3] -= 30  # a dead expert
    ids = [np.argsort(-x, axis=1, kind="stable")[:, :k] for x in logits]
    used = [np.zeros(x.shape) for x in logits]
    weights = []
    for x, chosen, one in zip(logits, ids, used):
        np.put_along_axis(one, chosen, 1, axis=1)
        kept = np.take_along_axis(torch.softmax(torch.from_numpy(x), -1).numpy(), chosen, 1)
        weights.append((kept / kept.sum(1, keepdims=True)).astype(np.float32))

    def company(one):
        """Lift over the draw of independent experts, its standard error from each text's r, and clusters."""
        counts = one.sum(0)
        off = ~np.eye(experts, dtype=bool)
        pairs = one.T @ one
        expected = rows * pair_chances(counts / rows, k)
        alive = np.flatnonzero(counts)
        with np.errstate(divide="ignore", invalid="ignore"):
            lift = np.where(off, pairs / expected, np.nan)
        distances = 1 / (1 + lift[np.ix_(alive, alive)])
        np.fill_diagonal(distances, 0)
        found = clustering(distances, len(alive) - 1)
        best = int(np.argmax(found["silhouettes"]))
        p = counts / rows
        even = rows**2 / np.sum(lengths**2)

        def residuals(a, b, both, each):
            """Of texts or rows: the pair's rows beyond what follows from how much they used the two."""
            c, u = both, each
            own = c.sum() / rows
            n = lengths if len(c) == len(lengths) else 1
            return (c - n * own) - own / p[a] * (u[:, a] - n * p[a]) - own / p[b] * (u[:, b] - n * p[b])

        def single(a, b, chance):
            """Variance of r of independent rows, over the four ways to use two experts."""
            cells = [(1, 1, chance), (1, 0, p[a] - chance), (0, 1, p[b] - chance), (0, 0, 1 - p[a] - p[b] + chance)]
            r = [x * y - chance - chance / p[a] * (x - p[a]) - chance / p[b] * (y - p[b]) for x, y, _ in cells]
            return rows * sum(w * v * v for v, (_, _, w) in zip(r, cells))

        texts = range(len(labels))
        used_of = np.array([one[sample == s].sum(0) for s in texts])
        clustered, alone = {}, {}
        for a, b in itertools.combinations(range(experts), 2):
            if pairs[a, b] == 0:
                continue
            both = np.array([(one[sample == s, a] * one[sample == s, b]).sum() for s in texts])
            r = residuals(a, b, both, used_of)
            clustered[a, b] = np.sum(r**2) * len(labels) / (len(labels) - 1)
            alone[a, b] = single(a, b, pairs[a, b] / rows)
        design = max(1, sum(clustered[x] / pairs[x] for x in clustered) / sum(alone[x] / pairs[x] for x in clustered))
        tests = []
        for a, b in itertools.combinations(range(experts), 2):
            if expected[a, b] < 5:
                continue
            least = design * single(a, b, expected[a, b] / rows)
            error = math.sqrt(max(clustered.get((a, b), 0), least)) / expected[a, b]
            degrees = max(1, math.floor(even - 1))
            t = (lift[a, b] - 1) / error
            half = stats.t.ppf(0.975, degrees) * error
            tests.append([a, b, 2 * stats.t.sf(abs(t), degrees), max(0, lift[a, b] - half), lift[a, b] + half])
        return {
            "expected": expected,
            "lift": lift,
            "tests": tests,
            "clusters": sorted(
                (alive[found["cuts"][best] == c].tolist() for c in set(found["cuts"][best])),
                key=lambda members: (-len(members), members[0]),
            ),
            "silhouette": found["silhouettes"][best],
        }

    def groups(one, of):
        names = np.unique(of)
        counts = np.array([one[of == g].sum(0) for g in names])
        rest = counts.sum(0) - counts
        chosen, group = np.repeat(np.arange(experts), counts.sum(0).astype(int)), []
        for e in range(experts):
            group += np.repeat(names, counts[:, e].astype(int)).tolist()
        return {
            "rows": [np.sum(of == g) for g in names],
            "counts": counts,
            "divergence": [distance.jensenshannon(c, r) ** 2 for c, r in zip(counts, rest)],
            "information": information(chosen, group),
        }

    def tastes(chosen, weight, one):
        """(expert, token) -> p and lift with the lower end of its interval, and the greatest weight."""
        level = np.where(position == 0, 0, 1 + np.floor(np.log2(np.maximum(position, 1)) / 2))
        found = []
        for e in range(experts):
            of = {}
            for t in range(types):
                having = [s for s in range(len(labels)) if np.any(token[sample == s] == t)]
                observed, expected = [], []
                for s in having:
                    own = (sample == s) & (token == t)
                    observed.append(one[own, e].mean())
                    like = [one[(sample == s) & (level == level[row]), e].mean() for row in np.flatnonzero(own)]
                    expected.append(np.mean(like))
                n, x, m = len(having), np.mean(observed), np.mean(expected)
                bound = lambda mean: math.exp(-n * (special.rel_entr(x, mean) + special.rel_entr(1 - x, 1 - mean)))
                if x > m:
                    low = optimize.brentq(lambda mean: bound(mean) - 0.025, 1e-12, x)
                    of[t] = {"texts": n, "p": bound(m), "lift": x / m, "liftLow": low / m}
            heaviest = {}
            for row, rank in zip(*np.nonzero(chosen == e)):
                w = float(weight[row, rank])
                if w > heaviest.get(int(token[row]), (-1, 0))[0]:
                    heaviest[int(token[row])] = (w, int(row))
            found.append({"byLift": of, "byWeight": heaviest})
        return found

    def flow(a, b):
        together = used[a].T @ used[b]
        expected = np.outer(used[a].sum(0), used[b].sum(0)) / rows
        with np.errstate(divide="ignore", invalid="ignore"):
            lift = together / expected
            probability = together / used[a].sum(0)[:, None]
        return {
            **adjusted_information(ids[a][:, 0], ids[b][:, 0]),
            "counts": together,
            "lift": lift,
            "probability": probability,
        }

    def similarity(one, states):
        with np.errstate(divide="ignore", invalid="ignore"):
            centres = (one.T @ states.astype(float)) / one.sum(0)[:, None] - states.astype(float).mean(0)
        return 1 - distance.cdist(centres, centres, "cosine")

    paths, counts = np.unique(np.stack([ids[0][:, 0], ids[1][:, 0]], 1), axis=0, return_counts=True)
    order = np.argsort(-counts, kind="stable")[:5]
    place = np.where(position == 0, 0, 1 + np.floor(np.log2(np.maximum(position, 1)) / 2).astype(int))
    return {
        "experts": experts,
        "topK": k,
        "labels": labels,
        "lengths": lengths,
        "promptTokens": prompts,
        "phases": phase,
        "tokenIds": token,
        "logits": logits,
        "weights": weights,
        "hidden": hidden,
        "company": with_q([company(one) for one in used]),
        "positions": [groups(one, place) for one in used],
        "phaseGroups": [groups(one, phase) for one in used],
        "parity": [groups(one, token % 2) for one in used],
        "tastes": tokens_with_q([tastes(*of) for of in zip(ids, weights, used)], types),
        "flow": flow(0, 1),
        "similarity": similarity(used[1], hidden[0]),
        "paths": {"experts": paths[order], "counts": counts[order]},
    }


p_values = np.concatenate([rng.uniform(0, 1, 20), rng.uniform(0, 0.005, 5), [0.01, 0.01, 1.0]])
reference = {
    "softmax": softmax_cases(),
    "topk": topk_cases(),
    "analyzeExpertUsage": analyze_cases(),
    "route": route_cases(),
    "capture": capture_case(),
    "wilson": wilson_cases(),
    "benjaminiHochberg": {"p": p_values, "q": stats.false_discovery_control(p_values, method="bh")},
    "pairChances": pair_chance_cases(),
    "studentTails": [{"t": t, "degrees": d, "p": 2 * stats.t.sf(t, d)} for d in (1, 9, 29, 400) for t in (0, 0.5, 3, 12, 60)],
    "permutation": exact_permutation_case(),
    "student": student_cases(),
    "comparison": comparison_case(),
    "clusters": clusters_case(),
    "ridge": ridge_case(),
    "flips": flip_case(),
    "tables": table_cases(),
    "analysis": analysis_case(),
}
json.dump(plain(reference), sys.stdout, separators=(",", ":"))
sys.stdout.write("\n")
