# Values for analysis.py, which calls it in a folder of tables: multtest (Bioconductor), brglm2, clubSandwich, prop.trend.test.
suppressMessages({library(multtest); library(brglm2); library(clubSandwich)})
options(digits = 17)
out <- function(name, values) cat(name, format(values, digits = 17, scientific = TRUE), "\n", sep = " ")
cat("versions R", paste(R.version$major, R.version$minor, sep = "."), "multtest", as.character(packageVersion("multtest")),
    "brglm2", as.character(packageVersion("brglm2")), "clubSandwich", as.character(packageVersion("clubSandwich")), "\n")

x <- as.matrix(read.csv("minp.csv", header = FALSE))
label <- scan("minp-label.csv", quiet = TRUE)
# Complete enumeration, statistics of the two-sample t test with unequal variances.
invisible(capture.output(found <- mt.minP(x, label, test = "t", side = "abs", B = 0)))
found <- found[order(found$index), ]
invisible(capture.output(largest <- mt.maxT(x, label, test = "t", side = "abs", B = 0)))
out("maxt_adjusted", largest[order(largest$index), ]$adjp)
out("minp_raw", found$rawp)
out("minp_adjusted", found$adjp)

trend <- read.csv("trend.csv")
for (case in unique(trend$case)) {
  rows <- trend[trend$case == case, ]
  test <- prop.trend.test(rows$hits, rows$n, score = seq_len(nrow(rows)) - 1)
  out(paste0("trend_", case), c(unname(test$statistic), test$p.value))
}

design <- read.csv("design.csv")
for (outcome in c("plain", "separated")) {
  y <- scan(paste0(outcome, ".csv"), quiet = TRUE)
  data <- cbind(y = y, design)
  formula <- reformulate(names(design), "y")
  firth <- glm(formula, binomial, data, method = "brglmFit", type = "AS_mean", control = list(epsilon = 1e-12, maxit = 10000))
  out(paste0("firth_", outcome), unname(coef(firth)))
}
plain <- glm(y ~ ., binomial, cbind(y = scan("plain.csv", quiet = TRUE), design), control = list(epsilon = 1e-14, maxit = 100))
cluster <- scan("cluster.csv", quiet = TRUE)
V <- as.matrix(vcovCR(plain, cluster, type = "CR3"))
out("clustered_errors", sqrt(diag(V)))
linear <- lm(y ~ ., cbind(y = scan("ranks.csv", quiet = TRUE), design))
out("clustered_rank_errors", sqrt(diag(as.matrix(vcovCR(linear, cluster, type = "CR3")))))
# Wald's statistic of each attribute's columns.
groups <- read.csv("groups.csv")
for (name in unique(groups$name)) {
  at <- groups$place[groups$name == name] + 2
  b <- coef(plain)[at]
  out(paste0("wald_", name), drop(t(b) %*% solve(V[at, at], b)))
}
