# Writes crossed.json: means over seeds and images with intervals by lmerTest, for tables that the crossed t must agree with.
#
#     apt-get install r-cran-lmertest r-cran-jsonlite     (versions are in the file)
#     Rscript crossed.R
#
# d ~ 1 + (1 | seed) + (1 | image), REML, Satterthwaite degrees of freedom. Where both components come out positive the
# analysis of variance and REML are the same estimate of a balanced table. Where the image component is estimated as zero,
# REML drops it, and the standard error is still that of the mean square of seeds. (Where the *seed* component is
# estimated as zero the two differ on purpose: REML then pools it with the cells.)
suppressPackageStartupMessages(library(lmerTest))

here <- dirname(sub("^--file=", "", grep("^--file=", commandArgs(), value = TRUE)))

table_of <- function(seeds, images, sd_seed, sd_image, sd_cell, mean) {
  d <- mean + outer(rnorm(seeds, 0, sd_seed), rnorm(images, 0, sd_image), "+")
  round(d + matrix(rnorm(seeds * images, 0, sd_cell), seeds), 5)
}

analysed <- function(d) {
  long <- data.frame(d = as.vector(d), seed = factor(row(d)), image = factor(col(d)))
  control <- lmerControl(optimizer = "bobyqa", optCtrl = list(rhoend = 1e-12, maxfun = 1e5),
                         check.conv.singular = "ignore")
  fit <- lmer(d ~ 1 + (1 | seed) + (1 | image), long, REML = TRUE, control = control)
  row <- coef(summary(fit))
  components <- as.data.frame(VarCorr(fit))
  variance <- setNames(components$vcov, components$grp)
  anova <- anova(lm(d ~ seed + image, long))
  half <- qt(0.975, row[, "df"]) * row[, "Std. Error"]
  list(table = lapply(seq_len(nrow(d)), function(s) d[s, ]),
       mean = row[, "Estimate"], standard_error = row[, "Std. Error"], degrees = row[, "df"], p = row[, "Pr(>|t|)"],
       ci95 = row[, "Estimate"] + c(-1, 1) * half,
       mean_squares = list(seed = anova["seed", "Mean Sq"], image = anova["image", "Mean Sq"],
                           cell = anova["Residuals", "Mean Sq"]),
       components = list(seed = variance[["seed"]], image = variance[["image"]]))
}

set.seed(20261127)
cases <- list()
wanted <- list(c(5, 40, .02, .05, .06), c(8, 30, .03, .02, .05), c(3, 25, .05, .08, .04), c(10, 12, .02, .03, .05),
               c(6, 11, .01, .1, .02), c(5, 60, .05, 0, .1))
for (w in wanted) {
  repeat {
    case <- analysed(table_of(w[1], w[2], w[3], w[4], w[5], .01))
    boundary <- case$components$image <= 1e-9
    # The table without an image component must come out so, the others with both.
    if (case$components$seed > 1e-9 && boundary == (w[4] == 0)) break
  }
  case$image_component_is_zero <- boundary
  cases[[length(cases) + 1]] <- case
}
made_with <- list(R = paste(R.version$major, R.version$minor, sep = "."), lme4 = as.character(packageVersion("lme4")),
                  lmerTest = as.character(packageVersion("lmerTest")))
text <- jsonlite::toJSON(list(made_with = made_with, cases = cases), digits = I(15), auto_unbox = TRUE)
writeLines(gsub("},{", "},\n{", text, fixed = TRUE), file.path(here, "crossed.json"))
